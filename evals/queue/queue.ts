/**
 * The port through which jobs get their owner. A queue holds at most one job of a suite at a time and gives each to one
 * worker at a time; where the worker's process dies, to another's. It forgets a job when the work on it settles: what
 * ran and what still must run is written in the store, and whoever finds a job not over there puts it in again.
 */

/** A scoring job is named by its suite and the time at which it is due (milliseconds since the epoch). */
export interface Job {
  suite: string;
  dueAt: number;
}

/** What is done with a job. Never rejects: to leave a job undone is to let it be put in again. */
export type Work = (job: Job) => Promise<void>;

export interface Queue {
  /**
   * Puts a job in, unless one of its suite is in already. Throws `queue_unavailable` where the queue is elsewhere and
   * does not answer.
   */
  add(job: Job): Promise<void>;
  /** Whether this process has a job of the suite in hand. */
  isBusy(suite: string): boolean;
  /** Why no job can be had just now; `undefined` when all is well. */
  whyAway(): string | undefined;
  /** Takes no more jobs, and resolves when those in hand have settled. */
  close(): Promise<void>;
}
