import type { Command } from 'commander';
import { nextDueAt } from '../../evals/schedule.ts';
import { runSuite } from '../../evals/score.ts';
import { scorerName } from '../../evals/scorers/registry.ts';
import type { Suite } from '../../evals/suite.ts';
import { LoopscopeError } from '../errors.ts';
import { type JobRow, lastJobs } from '../store/jobs.ts';
import type { CliContext } from './context.ts';
import { count, decimal, iso, time, UNKNOWN } from './format.ts';
import { type Column, table } from './table.ts';

/** `eval`: suites that hold runs against golden data. */
export function add(program: Command, context: CliContext): void {
  const evals = program.command('eval').description('run suites and see what is due');
  evals
    .command('run')
    .description('score what a suite has to score now; exit code 1 when a scorer failed')
    .argument('<suite>', 'its name')
    .addHelpText('after', '\nExample:\n  loopscope eval run primes-golden')
    .action((name: string) => runNow(context, name));
  evals
    .command('list')
    .description('list the suites: when each is due and how its last job went')
    .addHelpText('after', '\nExample:\n  loopscope eval list --json')
    .action(async () => {
      const jobs = await lastJobs(context.store());
      const rows = context.suites().map((suite) => ({
        suite,
        dueAt: nextDueAt(suite.schedule, context.clock.now(), suite.timezone),
        last: jobs.get(suite.suite),
      }));
      context.show({ suites: rows.map(document) }, () => {
        if (rows.length === 0) context.out.note('No suite yet: describe one in suites/*.yaml.');
        else for (const line of table(context.out.paint, COLUMNS, rows)) context.out.line(line);
      });
    });
}

async function runNow(context: CliContext, name: string): Promise<void> {
  const suites = context.suites();
  const suite = suites.find((s) => s.suite === name);
  if (!suite)
    throw new LoopscopeError(
      'not_found',
      `There is no suite "${name}" in suites/. Known: ${suites.map((s) => s.suite).join(', ') || 'none'}.`,
    );
  const result = await runSuite(suite, {
    store: context.store(),
    clock: context.clock,
    config: context.config(),
    onProgress: (done, of) => context.out.progress(`scored ${count(done)} of ${count(of)} runs`),
  });
  context.out.progress('');
  const { scored, errors, unmatched, mean, errorCodes } = result;
  if (errors > 0) context.exitCode = 1;
  context.show(
    { suite: name, loop: suite.loop, scored, errors, unmatched, mean: mean ?? null, error_codes: errorCodes },
    () => {
      context.out.line(`${count(scored)} runs of ${suite.loop} scored, mean ${decimal(mean)}`);
      if (unmatched > 0)
        context.out.line(`${count(unmatched)} recent runs meet no item of dataset ${suite.dataset}`);
      for (const [code, n] of Object.entries(errorCodes))
        context.out.line(context.out.paint('red', `${count(n)} could not be scored: ${code}`));
    },
  );
}

interface SuiteLine {
  suite: Suite;
  dueAt: number | undefined;
  last: JobRow | undefined;
}

const document = ({ suite, dueAt, last }: SuiteLine) => ({
  suite: suite.suite,
  loop: suite.loop,
  dataset: suite.dataset,
  scorer: scorerName(suite.scorer),
  schedule: suite.schedule,
  timezone: suite.timezone,
  arl: suite.detector.arl,
  due_at: dueAt === undefined ? null : iso(dueAt),
  last: last
    ? {
        state: last.state,
        due_at: iso(last.due_at),
        at: iso(last.at),
        scored: last.scored,
        errors: last.errors,
        unmatched: last.unmatched,
        message: last.message,
      }
    : null,
});

const COLUMNS: readonly Column<SuiteLine>[] = [
  { header: 'suite', cell: ({ suite }) => suite.suite },
  { header: 'loop', cell: ({ suite }) => suite.loop },
  { header: 'dataset', cell: ({ suite }) => suite.dataset },
  { header: 'scorer', cell: ({ suite }) => scorerName(suite.scorer) },
  { header: 'schedule', cell: ({ suite }) => suite.schedule },
  { header: 'due (UTC)', cell: ({ dueAt }) => time(dueAt) },
  { header: 'last job (UTC)', cell: ({ last }) => time(last?.at) },
  {
    header: 'went',
    cell: ({ last }) => ({
      text: last?.state ?? UNKNOWN,
      style: last?.state === 'failed' ? 'red' : undefined,
    }),
  },
  { header: 'scored', align: 'right', cell: ({ last }) => count(last?.scored) },
  {
    header: 'errors',
    align: 'right',
    cell: ({ last }) => ({ text: count(last?.errors), style: last?.errors ? 'red' : undefined }),
  },
  { header: 'unmatched', align: 'right', cell: ({ last }) => count(last?.unmatched) },
];
