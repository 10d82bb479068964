import { tryScore } from '../../evals/scorers/registry.ts';
import { scorerServices } from '../../evals/scorers/services.ts';
import { inputHash } from '../records/normalize.ts';
import { isMaker } from '../replay/play/overrides.ts';
import type { Recording } from '../replay/recording.ts';
import { loadIndex } from '../store/golden.ts';
import type { CliContext } from './context.ts';
import { suiteScorers } from './suite-scorers.ts';

/** Scores what a replay came to as its loop's suite scores runs; `null` where there is nothing to hold it against. */
export interface ReplayScoring {
  score(output: string): Promise<{ score: number } | { error: string } | null>;
  close(): Promise<void>;
}

export async function openReplayScoring(context: CliContext, recording: Recording): Promise<ReplayScoring> {
  const { loop, itemId } = recording;
  const suites = context.suites().filter((suite) => suite.loop === loop);
  const suite = suites.find(({ suite }) => suite === context.registry().loop(loop)?.suite) ?? suites[0];
  const index = suite && (await loadIndex(context.store(), suite.dataset));
  const item =
    index && (index.byItem.get(itemId ?? '') ?? index.byInput.get(inputHash(firstInput(recording))));
  if (!suite || !item) return { score: () => Promise.resolve(null), close: () => Promise.resolve() };
  const services = scorerServices(context.config(), context.clock, context.endpoints()?.gateway);
  const scorers = suiteScorers(context.registry(), [suite], services);
  const scorer = scorers.scorerFor(loop)!;
  const { item_id: id, input, tags, expected } = item;
  return {
    score: (output) => tryScore(() => scorer(output, expected, { id, input, tags })),
    close: () => scorers.close(),
  };
}

/** What the user said in the maker's first call: by it a run meets its golden item. */
function firstInput({ steps }: Recording): string {
  const first = steps.find((step) => step.kind === 'call' && isMaker(step));
  if (first?.kind !== 'call') return '';
  return (first.input ?? [])
    .filter(({ role }) => role === 'user')
    .flatMap(({ parts }) => parts)
    .flatMap((part) => (part.type === 'text' && typeof part['content'] === 'string' ? [part['content']] : []))
    .filter((text) => text !== '')
    .join('\n');
}
