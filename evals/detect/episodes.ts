import type { Kind } from './report.ts';

/**
 * One change of a loop is one alarm, however many of its measures fall by it.
 *
 * The first kind to alarm leads an episode. Another kind joins it when its own fall, by its own evidence, began
 * before the leader alarmed, or soon after: evidence that gathers slowly lets go of its first values. A fall that
 * began later is another change and leads an episode of its own. When the leader is well again and one that joined
 * it is not, that one leads from then on. Joining never makes an alarm, so it cannot break the promise.
 */
const SOON_RUNS = 50;

/** A kind that is alarmed. Plain data; one a kind. */
export interface Open {
  kind: Kind;
  /** Where it alarmed, in runs. */
  at: number;
  /** The leader's kind; null where it leads. */
  joins: Kind | null;
}

/**
 * A kind fell that was well; its fall began at run `start`. Changes `open` in place and gives the entry it made.
 */
export function openEpisode(open: Open[], kind: Kind, at: number, start: number): Open {
  const leader = open.find((entry) => entry.joins === null && start <= entry.at + SOON_RUNS);
  const entry: Open = { kind, at, joins: leader?.kind ?? null };
  open.push(entry);
  return entry;
}

/**
 * A kind is well again. Changes `open` in place. Gives whether it led, and then also who leads in its place, if it
 * leaves anybody behind.
 */
export function closeEpisode(open: Open[], kind: Kind): { led: boolean; heir: Open | undefined } {
  const place = open.findIndex((entry) => entry.kind === kind);
  const led = open[place]!.joins === null;
  open.splice(place, 1);
  const left = open.filter((entry) => entry.joins === kind);
  const heir = left[0];
  for (const entry of left) entry.joins = entry === heir ? null : heir!.kind;
  return { led, heir };
}
