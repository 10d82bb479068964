import type { Command } from 'commander';
import { dueAt, nextDueAt } from '../../evals/schedule.ts';
import { scorerName } from '../../evals/scorers/registry.ts';
import type { Suite } from '../../evals/suite.ts';
import { createTurns } from '../../evals/turns.ts';
import { newestVersion } from '../store/golden.ts';
import { type JobRow, lastJobs } from '../store/jobs.ts';
import { lastScoreError, waitingRuns } from '../store/waiting.ts';
import type { CliContext } from './context.ts';
import { count, iso, time, UNKNOWN } from './format.ts';
import { type Column, table } from './table.ts';

/** `eval list`: when each suite is due, how its last job went, and how many runs wait for it. */
export function add(evals: Command, context: CliContext): void {
  evals
    .command('list')
    .description('list the suites: when each is due, how its last job went, what waits')
    .addHelpText('after', '\nExample:\n  loopscope eval list --json')
    .action(async () => {
      const jobs = await lastJobs(context.store());
      const turns = createTurns(SUITES_AT_ONCE);
      const rows = await Promise.all(
        context
          .suites()
          .map((suite) => turns.take(suite.suite, () => lineOf(context, suite, jobs.get(suite.suite)))),
      );
      context.show({ suites: rows.map(document) }, () => {
        if (rows.length === 0) context.out.note('No suite yet: describe one in suites/*.yaml.');
        else for (const line of table(context.out.paint, COLUMNS, rows)) context.out.line(line);
      });
    });
}

/** Suites that are asked about at the same time. */
const SUITES_AT_ONCE = 8;
/** Of an error in the table; the document has all of it. */
const ERROR_SHOWN = 60;

interface SuiteLine {
  suite: Suite;
  /** A time that has come, and whose job is not over. */
  dueSince: number | undefined;
  nextDueAt: number | undefined;
  last: JobRow | undefined;
  /** Runs that are over, meet an item and have no score. */
  waiting: number;
  /** Why the last job failed, or else what the last of its errors was. */
  lastError: string | undefined;
}

async function lineOf(context: CliContext, suite: Suite, last: JobRow | undefined): Promise<SuiteLine> {
  const store = context.store();
  const now = context.clock.now();
  const query = {
    loop: suite.loop,
    suite: suite.suite,
    dataset: suite.dataset,
    version: (await newestVersion(store, suite.dataset)) ?? '',
    idleBefore: Math.floor(now - context.config().evals.run_idle_s * 1000),
  };
  const { matched } = await waitingRuns(store, query, { startedFrom: 0, overBefore: now });
  const error =
    last?.state === 'failed' ? last.message : last?.errors ? await lastScoreError(store, suite) : undefined;
  return {
    suite,
    dueSince: last?.state === 'started' ? last.due_at : dueAt(suite, last?.due_at, now),
    nextDueAt: nextDueAt(suite, now),
    last,
    waiting: matched,
    lastError: error,
  };
}

const isoOrNull = (ms: number | undefined) => (ms === undefined ? null : iso(ms));

const document = ({ suite, dueSince, nextDueAt, last, waiting, lastError }: SuiteLine) => ({
  suite: suite.suite,
  loop: suite.loop,
  dataset: suite.dataset,
  scorer: scorerName(suite.scorer),
  schedule: suite.schedule,
  timezone: suite.timezone,
  arl: suite.detector.arl,
  due_since: isoOrNull(dueSince),
  due_at: isoOrNull(nextDueAt),
  runs_waiting: waiting,
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
  last_error: lastError ?? null,
});

const COLUMNS: readonly Column<SuiteLine>[] = [
  { header: 'suite', cell: ({ suite }) => suite.suite },
  { header: 'loop', cell: ({ suite }) => suite.loop },
  { header: 'dataset', cell: ({ suite }) => suite.dataset },
  { header: 'scorer', cell: ({ suite }) => scorerName(suite.scorer) },
  { header: 'schedule', cell: ({ suite }) => suite.schedule },
  { header: 'due since (UTC)', cell: ({ dueSince }) => time(dueSince) },
  { header: 'next (UTC)', cell: ({ nextDueAt }) => time(nextDueAt) },
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
  { header: 'waiting', align: 'right', cell: ({ waiting }) => count(waiting) },
  { header: 'last error', cell: ({ lastError }) => short(lastError) },
];

const short = (text: string | undefined): string =>
  text === undefined ? UNKNOWN : text.length > ERROR_SHOWN ? `${text.slice(0, ERROR_SHOWN - 1)}…` : text;
