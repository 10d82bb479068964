import type { Message, ModelCall, Recording } from '../recording.ts';
import type { Normaliser } from './normalise.ts';

/**
 * Which recorded call goes on from which: an agent sends what was said before, the answer it got, and what was added since:
 * tools' results, the user's next turn. A call that goes on from none opens a conversation: with other words, or with a
 * history that the loop has shortened.
 */
export interface Place {
  /** Place in `steps` of the call whose history and answer it begins with; `null` where it opens. */
  continues: number | null;
  /** What was added between that answer and this call. */
  added: readonly Message[];
  /** Whether another recorded call goes on from it. */
  isContinued: boolean;
}

/** Earlier calls of an agent that are looked at: conversations of one agent that are under way at a time. */
const CONVERSATIONS_MAX = 32;

export function placesOf(recording: Recording, n: Normaliser): Map<number, Place> {
  const places = new Map<number, Place>();
  const ends = new Map<string, End[]>();
  recording.steps.forEach((step, index) => {
    if (step.kind !== 'call') return;
    const key = JSON.stringify([step.parentAgent, step.agent]);
    const open = ends.get(key) ?? [];
    ends.set(key, open);
    const hashes = hashesOf(step.input ?? [], n);
    const at = open.findIndex((end) => isPrefix(end.hashes, hashes));
    const before = open[at];
    const added = before && addedTo(step, before.hashes.length, n);
    if (before && added) {
      places.get(before.index)!.isContinued = true;
      open.splice(at, 1);
    }
    places.set(index, {
      continues: before && added ? before.index : null,
      added: added ?? [],
      isContinued: false,
    });
    open.unshift({ index, hashes: hashes.concat(hashesOf(step.output ?? [], n)) });
    if (open.length > CONVERSATIONS_MAX) open.pop();
  });
  return places;
}

/** A call with all that was said up to its answer. */
interface End {
  index: number;
  hashes: readonly string[];
}

function hashesOf(messages: readonly Message[], n: Normaliser): string[] {
  const hashes: string[] = [];
  for (const message of messages) for (const { hash } of n.unitsOf(message)) hashes.push(hash);
  return hashes;
}

const isPrefix = (short: readonly string[], long: readonly string[]): boolean =>
  short.length > 0 && short.length <= long.length && short.every((hash, i) => hash === long[i]);

/** The messages behind the first `parts` parts; `undefined` where the border is within a message. */
function addedTo(step: ModelCall, parts: number, n: Normaliser): Message[] | undefined {
  let seen = 0;
  const messages = step.input ?? [];
  for (let i = 0; i < messages.length; i++) {
    const { length } = n.unitsOf(messages[i]!);
    if (seen === parts && length > 0) return messages.slice(i);
    seen += length;
    if (seen > parts) return undefined;
  }
  return [];
}
