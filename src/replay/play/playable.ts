import { LoopscopeError } from '../../errors.ts';
import type { Recording } from '../recording.ts';
import type { Mode } from './ports.ts';

/** Refuses a recording that lacks what a replay in this mode has to say. Throws `recording_incomplete`. */
export function requirePlayable({ steps, run, gaps }: Recording, mode: Mode): void {
  const calls = steps.filter((step) => step.kind === 'call');
  const lacking = calls.find(({ input, output }) => (mode === 'exact' ? output === null : input === null));
  if (calls.length > 0 && !lacking) return;
  const why = gaps[0]?.message ?? 'Record the loop with `capture: full`.';
  throw new LoopscopeError(
    'recording_incomplete',
    calls.length === 0
      ? `Run ${run} has no call of a model on record: there is nothing to play. ${why}`
      : `Run ${run} cannot be played: what ${mode === 'exact' ? 'was answered to' : 'was asked in'} step ${
          steps.indexOf(lacking!) + 1
        } is not on record. ${why}`,
  );
}
