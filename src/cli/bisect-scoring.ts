import { tryScore } from '../../evals/scorers/registry.ts';
import { scorerServices } from '../../evals/scorers/services.ts';
import { LoopscopeError } from '../errors.ts';
import { type GoldenIndex, loadIndex } from '../store/golden.ts';
import type { VersionedRun } from '../store/versions.ts';
import type { CliContext } from './context.ts';
import { suiteScorers } from './suite-scorers.ts';

/** How the replays of a loop's runs are scored: as its suite scores the runs themselves. */
export interface Scoring {
  /** The golden item that a run meets. */
  itemOf(run: VersionedRun): ReturnType<GoldenIndex['byItem']['get']>;
  score(output: string, run: VersionedRun): Promise<{ score: number } | { error: string }>;
  close(): Promise<void>;
}

/** The loop's own scorer and golden data. Throws `not_found` where it has none. */
export async function openScoring(context: CliContext, loop: string): Promise<Scoring> {
  const suites = context.suites().filter((suite) => suite.loop === loop);
  const suite = suites.find(({ suite }) => suite === context.registry().loop(loop)?.suite) ?? suites[0];
  const index = suite && (await loadIndex(context.store(), suite.dataset));
  if (!suite || !index)
    throw new LoopscopeError(
      'not_found',
      suite
        ? `Dataset ${suite.dataset} of suite ${suite.suite} has no golden data. \`loopscope golden import FILE --dataset ${suite.dataset}\` brings some.`
        : `Replays of ${loop} have to be scored, and it has no suite: say in suites/*.yaml how its answers are held against golden data.`,
    );
  const services = scorerServices(context.config(), context.clock, context.endpoints()?.gateway);
  const scorers = suiteScorers(context.registry(), [suite], services);
  const scorer = scorers.scorerFor(loop)!;
  const itemOf = (run: VersionedRun) => index.byItem.get(run.itemId) ?? index.byInput.get(run.inputHash);
  return {
    itemOf,
    score: async (output, run) => {
      const { item_id: id, input, tags, expected } = itemOf(run)!;
      return await tryScore(() => scorer(output, expected, { id, input, tags }));
    },
    close: () => scorers.close(),
  };
}
