import type { Clock } from '../clock.ts';
import type { Insert } from './batch.ts';

/** What became of an insert. */
export type Delivery =
  | { kind: 'stored' }
  /** Another time, perhaps: it is tried for ever. */
  | { kind: 'unavailable'; message: string }
  /** Not this data, at any time. */
  | { kind: 'rejected'; message: string };

/** `isRepeat`: the same was sent before, and nobody knows what came of it. Never throws. */
export type Deliver = (insert: Insert, isRepeat: boolean) => Promise<Delivery>;

export type FinalDelivery = Exclude<Delivery, { kind: 'unavailable' }>;

export interface InsertionOptions {
  clock: Clock;
  deliver: Deliver;
  /** An earlier process may have sent these inserts. */
  isResumed: boolean;
  stopping: AbortSignal;
  /** Waited for before each insert. */
  before: (insert: Insert) => Promise<void>;
  onStored: (insert: Insert) => void;
  /** Why nothing is stored now; `undefined` when something was. */
  onTrouble: (message: string | undefined) => void;
}

const BACKOFF_MS = { first: 100, max: 5_000 };

/** Waits a random while that grows with `failures`; ends early, and does not reject, when the signal fires. */
export async function backOff(clock: Clock, failures: number, signal: AbortSignal): Promise<void> {
  const ms = Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** failures) * (0.5 + clock.random());
  await clock.sleep(ms, signal).catch(() => {}); // stopped
}

/** Inserts one after the other until ClickHouse has said something final; `undefined` when it was stopped before. */
export async function insertAll(
  inserts: readonly Insert[],
  { clock, deliver, isResumed, stopping, before, onStored, onTrouble }: InsertionOptions,
): Promise<FinalDelivery | undefined> {
  for (const insert of inserts) {
    await before(insert);
    for (let failures = 0; ; failures++) {
      if (stopping.aborted) return undefined;
      const outcome = await deliver(insert, isResumed || failures > 0);
      if (stopping.aborted) return undefined; // the folder may be another's by now
      onTrouble(outcome.kind === 'unavailable' ? outcome.message : undefined);
      if (outcome.kind === 'rejected') return outcome;
      if (outcome.kind === 'stored') break;
      await backOff(clock, failures, stopping);
    }
    onStored(insert);
  }
  return { kind: 'stored' };
}
