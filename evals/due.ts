import type { Clock } from '../src/clock.ts';
import type { Store } from '../src/store/client.ts';
import { jobHistories, jobsOver } from '../src/store/jobs.ts';
import type { Job } from './queue/queue.ts';
import {
  catchUpDelayMs,
  type JobHistory,
  jobsToRun,
  LATE_AFTER_MS,
  nextDueAt,
  type Schedule,
} from './schedule.ts';

/**
 * Which jobs are to be put in the queue now. The store has what ran, whichever process ran it; what is known here of it
 * is a memory of that, and nothing is found due that the store has as over.
 */
export interface Due {
  /** Learns which jobs there were; to be awaited before the first `jobs`. */
  ready(): Promise<void>;
  /** Of each suite that is not left out the oldest job that must run now. It is found until it is over. */
  jobs(suites: readonly Schedule[], isLeftOut: (suite: string) => boolean): Promise<Job[]>;
  /** A job is over. */
  over(job: Job): void;
  /** Whether a job starts late now. A suite's first is not: nobody knows since when the suite is there. */
  isLate(job: Job): boolean;
}

/** A job that another process has is not asked for again before this time. */
const ASK_AGAIN_MS = 1_000;

const NO_JOBS: JobHistory = { finishedDueAt: undefined, unfinishedDueAt: [] };

export function createDue({ store, clock }: { store: Store; clock: Clock }): Due {
  const startedAt = clock.now();
  let histories: Map<string, JobHistory> | undefined;
  /** By suite: when it is worth the look again, under which schedule. */
  const lookAgain = new Map<string, { schedule: string; timezone: string; at: number }>();

  const historyOf = (suite: string) => histories?.get(suite) ?? NO_JOBS;

  const over = ({ suite, dueAt }: Job): void => {
    const { finishedDueAt, unfinishedDueAt } = historyOf(suite);
    histories?.set(suite, {
      finishedDueAt: Math.max(finishedDueAt ?? dueAt, dueAt),
      unfinishedDueAt: unfinishedDueAt.filter((other) => other !== dueAt),
    });
    lookAgain.delete(suite);
  };

  const isQuiet = ({ suite, schedule, timezone }: Schedule): boolean => {
    const look = lookAgain.get(suite);
    return look?.schedule === schedule && look.timezone === timezone && look.at > clock.now();
  };
  const quietUntil = ({ suite, schedule, timezone }: Schedule, at: number): void => {
    lookAgain.set(suite, { schedule, timezone, at });
  };

  /** The suite's oldest job that must run; notes when to look again where there is none yet. */
  const oldestJob = (schedule: Schedule): Job | undefined => {
    const { suite } = schedule;
    const history = historyOf(suite);
    const now = clock.now();
    const [dueAt] = jobsToRun(schedule, history, now);
    if (dueAt === undefined) {
      quietUntil(schedule, nextDueAt(schedule, now) ?? Number.POSITIVE_INFINITY);
      return undefined;
    }
    const isNew = !history.unfinishedDueAt.includes(dueAt);
    const wasMissed = isNew && history.finishedDueAt !== undefined && dueAt < startedAt;
    const from = wasMissed ? startedAt + catchUpDelayMs(schedule, dueAt) : dueAt;
    if (from > now) {
      quietUntil(schedule, from);
      return undefined;
    }
    if (isNew) histories?.set(suite, { ...history, unfinishedDueAt: [...history.unfinishedDueAt, dueAt] });
    quietUntil(schedule, now + ASK_AGAIN_MS);
    return { suite, dueAt };
  };

  return {
    ready: async () => {
      histories ??= new Map(await jobHistories(store));
    },
    jobs: async (suites, isLeftOut) => {
      const found = suites
        .filter((suite) => !isLeftOut(suite.suite) && !isQuiet(suite))
        .flatMap((suite) => oldestJob(suite) ?? []);
      const done = new Set<string>();
      for (const job of await jobsOver(store, found)) {
        over(job);
        done.add(job.suite);
      }
      return found.filter((job) => !done.has(job.suite));
    },
    over,
    isLate: ({ suite, dueAt }) =>
      historyOf(suite).finishedDueAt !== undefined && clock.now() - dueAt > LATE_AFTER_MS,
  };
}
