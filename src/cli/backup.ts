import type { Command } from 'commander';
import { type Backup, backUp, listBackups, type MadeBackup } from '../store/backup.ts';
import type { TaskProgress } from '../store/backup-task.ts';
import { type Restored, restore } from '../store/restore.ts';
import type { CliContext } from './context.ts';
import { count, iso, time, UNKNOWN } from './format.ts';
import { type Column, table } from './table.ts';

/** `backup` and `restore`: all that is stored, by ClickHouse's own means, on the disk `backups` of its server. */
export function add(program: Command, context: CliContext): void {
  program
    .command('backup')
    .description('back up all that is stored, while everything runs')
    .argument('[name]', 'its name (default: loopscope- and the time)')
    .option(
      '--base <name>',
      'hold only the difference to this earlier backup, which is then needed to restore',
    )
    .option('--list', 'show the backups that were made')
    .addHelpText('after', BACKUP_HELP)
    .action(async (name: string | undefined, { base, list }: { base?: string; list?: boolean }) => {
      if (list) return showList(context);
      const made = await backUp(context.store(), context.clock, {
        name: name ?? `loopscope-${iso(context.clock.now()).replace(/\D/g, '').slice(0, 14)}`,
        base,
        onProgress: (progress) => context.out.progress(`backing up: ${inWords(progress)}`),
      });
      context.out.progress('');
      context.show(made, () => tellMade(context, made));
    });
  program
    .command('restore')
    .description('restore a backup and count what it brought')
    .argument('<name>', 'the backup')
    .option('--into <database>', 'into a database of its own, to look at')
    .option('--replace', 'first put aside what is there, under another name')
    .addHelpText('after', RESTORE_HELP)
    .action(async (name: string, { into, replace }: { into?: string; replace?: boolean }) => {
      const done = await restore(context.store(), context.clock, {
        name,
        into,
        replace,
        onProgress: (progress) => context.out.progress(`restoring: ${inWords(progress)}`),
      });
      context.out.progress('');
      if (done.short.length > 0) context.exitCode = 1;
      context.show({ ...done, putAside: undefined, put_aside: done.putAside ?? null }, () =>
        tellRestored(context, done),
      );
    });
}

const BACKUP_HELP = `
Example:
  loopscope backup monday
  loopscope backup tuesday --base monday
  loopscope backup --list

It is written by the ClickHouse server, onto its disk "backups": the embedded one's is <data_dir>/backups, which is best a
mount of another machine's. A server of your own gets one as deploy/README.md shows. The spools of gateways and collectors
are not in it, nor Redis, nor your files.`;

const RESTORE_HELP = `
Example:
  loopscope restore tuesday
  loopscope restore tuesday --into look

It refuses a database with rows in it. Stop gateways, collectors and evals first; when they start again they bring the schema
up to date and go on: what waits in their spools is stored then. Exit code 1: a table has fewer rows than it had.`;

const inWords = ({ files, bytes }: TaskProgress) => `${count(files)} files, ${size(bytes)}`;

const size = (bytes: number) =>
  bytes < 1e6
    ? `${count(Math.ceil(bytes / 1e3))} kB`
    : bytes < 1e9
      ? `${(bytes / 1e6).toFixed(1)} MB`
      : `${(bytes / 1e9).toFixed(2)} GB`;

const total = (rows: Backup['rows']) => Object.values(rows).reduce((sum, n) => sum + n, 0);

function tellMade(context: CliContext, made: Backup): void {
  const since = made.base === undefined ? '' : `, the difference to ${made.base}`;
  context.out.line(
    `${made.name}: ${count(total(made.rows))} rows of ${Object.keys(made.rows).length} tables, ${inWords(made)}${since}, in ${made.folder}${made.name}`,
  );
}

function tellRestored(context: CliContext, done: Restored): void {
  const { out } = context;
  out.line(
    `${done.name} is in the database ${done.database}: ${count(total(done.rows))} rows of ${Object.keys(done.rows).length} tables`,
  );
  for (const { table, rows, expected } of done.short)
    out.line(out.paint('red', `${table} has ${count(rows)} rows, and had ${count(expected)} at least`));
  if (done.putAside !== undefined)
    out.note(
      `What was there is in the database ${done.putAside}. To remove it: curl ${context.clickhouseUrl()} -d 'DROP DATABASE ${done.putAside}'`,
    );
}

const COLUMNS: Column<MadeBackup>[] = [
  { header: 'name', cell: (b) => b.name },
  { header: 'at (UTC)', cell: (b) => time(b.at) },
  { header: 'state', cell: (b) => ({ text: b.state, style: b.state === 'failed' ? 'red' : undefined }) },
  { header: 'size', align: 'right', cell: (b) => (b.state === 'done' ? size(b.bytes) : UNKNOWN) },
  { header: 'difference to', cell: (b) => b.base || UNKNOWN },
  { header: 'why', cell: (b) => b.message },
];

async function showList(context: CliContext): Promise<void> {
  const backups = await listBackups(context.store());
  context.show({ backups: backups.map(({ at, ...rest }) => ({ ...rest, at: iso(at) })) }, () => {
    if (backups.length === 0) context.out.note('No backup was made yet: loopscope backup');
    else for (const line of table(context.out.paint, COLUMNS, backups)) context.out.line(line);
  });
}
