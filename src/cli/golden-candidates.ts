import { inputHash } from '../records/normalize.ts';
import { textOf } from '../replay/play/message-parts.ts';
import { loadRecording } from '../replay/record/load.ts';
import type { Recording } from '../replay/recording.ts';
import type { Store } from '../store/client.ts';
import { type RunContent, runContent } from '../store/run-content.ts';

/** A run that may become a golden item: what its maker was asked first, and what it answered last. */
export interface Candidate {
  run: RunContent;
  input: string;
  /** `''` where it was not kept: its right answer has to be typed. */
  output: string;
  itemId: string | null;
}

/** Why a run cannot become one. */
export interface Unusable {
  runId: string;
  why: string;
}

/**
 * The candidates of runs, each input once: a later run with an input that is there already is left out, as are runs whose
 * input was not kept.
 */
export async function candidatesOf(
  store: Store,
  { loop, runIds, dataset }: { loop: string; runIds: readonly string[]; dataset: string },
): Promise<{ candidates: Candidate[]; unusable: Unusable[] }> {
  const candidates: Candidate[] = [];
  const unusable: Unusable[] = [];
  const seen = new Map<string, string>();
  for (const runId of new Set(runIds)) {
    const run = await runContent(store, { loop, runId, datasets: [dataset] });
    const recording = run && (await loadRecording(store, { loop, runId }));
    const input = recording && askedFirst(recording);
    if (!run || !recording) unusable.push({ runId, why: `loop ${loop} has no such run` });
    else if (!input) unusable.push({ runId, why: 'what its maker was asked was not kept' });
    else if (seen.has(inputHash(input)))
      unusable.push({ runId, why: `it has the same input as ${seen.get(inputHash(input))}` });
    else {
      seen.set(inputHash(input), runId);
      candidates.push({
        run: { ...run, input },
        input,
        output: run.output ?? answeredLast(recording),
        itemId: recording.itemId,
      });
    }
  }
  return { candidates, unusable };
}

const makerCalls = ({ steps }: Recording) =>
  steps.filter((step) => step.kind === 'call').filter(({ role }) => role === 'maker' || role === '');

/** What the user said in the maker's first call, the text by which a run meets its golden item. */
function askedFirst(recording: Recording): string {
  const first = makerCalls(recording).find(({ input }) => input !== null);
  return textOf((first?.input ?? []).filter(({ role }) => role === 'user'));
}

const answeredLast = (recording: Recording): string =>
  textOf(makerCalls(recording).findLast(({ output }) => output !== null)?.output ?? []);
