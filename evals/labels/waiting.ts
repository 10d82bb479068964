import type { QueueEntry } from '../../src/store/label-queue.ts';

/** A second opinion on every run is what tells how far people agree; a third tells little more. */
const RATERS_WANTED = 2;

/** The entries that wait for a rater: first those that nobody labelled, then those that wait for a second opinion. */
export function waitingFor(rater: string | undefined, entries: readonly QueueEntry[]): QueueEntry[] {
  const theirs = entries.filter(({ raters }) => rater === undefined || !raters.includes(rater));
  return [
    ...theirs.filter(({ raters }) => raters.length === 0),
    ...theirs.filter(({ raters }) => raters.length > 0 && raters.length < RATERS_WANTED),
  ];
}
