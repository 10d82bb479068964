import type { Clock } from '../clock.ts';
import { LoopscopeError } from '../errors.ts';
import type { Store } from './client.ts';

/**
 * ClickHouse's BACKUP and RESTORE, which it does by itself in the background, followed until they are over. What they
 * write and read is on the server's disk `backups`: the embedded one has it in `<data_dir>/backups`, and another by the
 * settings that deploy/README.md shows.
 */

const DISK = 'backups';
const POLL_MS = 200;
const BACKUP_NOT_FOUND = '599';
const BACKUP_ALREADY_EXISTS = '598';

/** How far it is, or at the end what came of it. */
export interface TaskProgress {
  files: number;
  bytes: number;
}

/** Folder of the disk, as the server names it. Throws `config_invalid` where it has none. */
export async function backupFolder(store: Store): Promise<string> {
  const [disk] = await store.query<{ path: string }>(
    'SELECT path FROM system.disks WHERE name = {disk:String}',
    { disk: DISK },
  );
  if (disk) return disk.path;
  throw new LoopscopeError(
    'config_invalid',
    `ClickHouse at ${new URL(store.url).origin} has no disk "${DISK}" that backups may go to. deploy/README.md shows the settings that give it one.`,
  );
}

/**
 * Begins `statement`, in which `{name:String}` and `{base:String}` are bound, and returns when it is done. Throws
 * `backup_exists`, `not_found`, or `backup_failed` with the server's words.
 */
export async function runTask(
  store: Store,
  clock: Clock,
  statement: string,
  { name, base = '' }: { name: string; base?: string | undefined },
  onProgress: (progress: TaskProgress) => void,
): Promise<TaskProgress> {
  const [task] = await store.query<{ id: string }>(`${statement} ASYNC`, { name, base });
  for (;;) {
    const [now] = await store.query<TaskProgress & { status: string; error: string }>(
      `SELECT status, error, if(files_read > 0, files_read, num_files) AS files,
         if(bytes_read > 0, bytes_read, uncompressed_size) AS bytes
       FROM system.backups WHERE id = {id:String}`,
      { id: task!.id },
    );
    if (!now) throw failed(name, 'the server was started anew meanwhile and forgot it');
    const { status, error, files, bytes } = now;
    if (/_FAILED$|_CANCELLED$/.test(status)) throw refusal(name, base, error);
    onProgress({ files, bytes });
    if (status === 'BACKUP_CREATED' || status === 'RESTORED') return { files, bytes };
    await clock.sleep(POLL_MS);
  }
}

/** BACKUP's and RESTORE's end of a statement: where the backup is. */
export const onDisk = (parameter: 'name' | 'base') => `Disk('${DISK}', {${parameter}:String})`;

function refusal(name: string, base: string, error: string): LoopscopeError {
  const code = /^Code: (\d+)\./.exec(error)?.[1];
  if (code === BACKUP_ALREADY_EXISTS)
    return new LoopscopeError(
      'backup_exists',
      `There is a backup "${name}" already. Choose another name; a backup is never written over.`,
    );
  if (code === BACKUP_NOT_FOUND)
    return new LoopscopeError(
      'not_found',
      `Expected a backup "${name}"${base && ` and its base "${base}"`} on the server's disk "${DISK}": ${firstSentence(error)}. \`loopscope backup --list\` shows those that were made here.`,
    );
  return failed(name, firstSentence(error));
}

const failed = (name: string, why: string) =>
  new LoopscopeError('backup_failed', `The backup "${name}" was not made or restored whole: ${why}.`);

/** The server's words without the place in its code. */
const firstSentence = (error: string) =>
  error
    .replace(/^Code: \d+\. DB::Exception: /, '')
    .split(/, Stack trace|\n/, 1)[0]!
    .replace(/\.? *\([A-Z_]+\)$/, '')
    .slice(0, 500);
