import type { RecordedSpan } from '../../store/recordings.ts';

/** Ancestors that are looked at; a trace from a stranger may be a circle. */
const DEPTH_MAX = 100;

/** The spans above one, nearest first. */
export function* ancestors({ parent }: RecordedSpan): Generator<RecordedSpan> {
  let at = parent;
  for (let depth = 0; at && depth < DEPTH_MAX; depth++) {
    yield at;
    at = at.parent;
  }
}
