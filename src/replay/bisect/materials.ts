import { isSystem, textOf } from '../play/message-parts.ts';
import type { Overrides } from '../play/overrides.ts';
import type { ModelCall, Recording } from '../recording.ts';
import type { Change } from './change.ts';
import type { Dimension, Variant } from './trial.ts';

/**
 * What stands behind the names of versions: the text of a prompt, the definitions of tools, what a checker is told. They are
 * taken from recordings of runs that were made with them. A version whose content nobody kept cannot be tried, which is told
 * and never guessed at.
 */
export interface Materials {
  /** The changes that can be made and taken back. */
  changes: Change[];
  /** Those that cannot, and versions between that are left out, in words. */
  impossible: { dimension: Dimension; version: string; why: string }[];
  overridesOf(variant: Variant): Overrides;
}

/** Finds recordings of runs that were made with a version, the likeliest to be complete first. */
export type RecordingsWith = (dimension: Dimension, version: string) => AsyncIterable<Recording>;

export async function gatherMaterials(
  changes: readonly Change[],
  recordingsWith: RecordingsWith,
): Promise<Materials> {
  const overrides = new Map<string, Overrides>();
  const impossible: Materials['impossible'] = [];
  const playable: Change[] = [];
  for (const change of changes) {
    const { dimension } = change;
    const history: string[] = [];
    for (const version of change.history) {
      const found = await materialOf(dimension, version, recordingsWith);
      if ('why' in found) impossible.push({ dimension, version, why: found.why });
      else {
        overrides.set(keyOf(dimension, version), found);
        history.push(version);
      }
    }
    // Without one of its ends a change can be neither made nor taken back.
    const hasEnds = history[0] === change.history[0] && history.at(-1) === change.history.at(-1);
    if (hasEnds) playable.push({ ...change, history });
  }
  return {
    changes: playable,
    impossible,
    overridesOf: (variant) =>
      Object.assign(
        {},
        ...Object.entries(variant).map(([dimension, version]) =>
          overrides.get(keyOf(dimension as Dimension, version)),
        ),
      ),
  };
}

const keyOf = (dimension: Dimension, version: string) => `${dimension}\0${version}`;

async function materialOf(
  dimension: Dimension,
  version: string,
  recordingsWith: RecordingsWith,
): Promise<Overrides | { why: string }> {
  // A model answers to its own name.
  if (dimension === 'model') return { model: version };
  let why = 'no run with it is on record';
  for await (const recording of recordingsWith(dimension, version)) {
    const found = materialIn(recording, dimension, version);
    if (!('why' in found)) return found;
    why = found.why;
  }
  return { why };
}

/** What a recording has of a version, as what is to be other than it was. */
export function materialIn(
  { steps, run }: Recording,
  dimension: Exclude<Dimension, 'model'>,
  version: string,
): Overrides | { why: string } {
  const calls = steps.filter((step) => step.kind === 'call');
  const made = calls.filter(({ role }) => role === 'maker' || role === '');
  if (dimension === 'tools') {
    const call = made.find(
      ({ toolsVersion, toolDefinitions }) => toolsVersion === version && toolDefinitions,
    );
    return call?.toolDefinitions
      ? { tools: call.toolDefinitions }
      : { why: `the definitions of its tools are not on record (run ${run})` };
  }
  if (dimension === 'prompt') {
    const call = made.find(({ promptVersion, input }) => promptVersion === version && input);
    const prompt = call && promptOf(call);
    return prompt ? { prompt } : { why: `the text of its prompt is not on record (run ${run})` };
  }
  const name = version.slice(0, version.lastIndexOf('@'));
  const call = calls.find(({ role, agent, input }) => role === 'checker' && agent === name && input);
  const prompt = call && promptOf(call);
  if (prompt) return { checkers: { [name]: prompt } };
  return {
    why: calls.some(({ role }) => role === 'checker')
      ? `what its checker is told is not on record (run ${run})`
      : `its checker ${JSON.stringify(name)} asks no model: it is the loop's own code`,
  };
}

const promptOf = ({ input }: ModelCall): string => textOf((input ?? []).filter(isSystem));
