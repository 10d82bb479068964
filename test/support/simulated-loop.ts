import { seededRandom } from '../../src/clock.ts';
import type { Change } from '../../src/replay/bisect/change.ts';
import type { Trial, Variant } from '../../src/replay/bisect/trial.ts';

/** A loop whose replays are coins: what it scores hangs on which of its versions are the bad ones. */
export interface SimulatedLoop {
  trial: Trial;
  changes: Change[];
}

export interface Rates {
  /** Golden score with the versions that a variant has; versions are called good, bad, or as the test names them. */
  golden: (variant: Variant) => number;
  /** Chance that the checker's verdict is what the golden score says. */
  agrees?: (variant: Variant) => number;
  /** Chance of a replay to fail. */
  fails?: number;
  histories?: Partial<Record<'model' | 'prompt' | 'tools' | 'checker', string[]>>;
}

export function simulatedLoop({ golden, agrees, fails = 0, histories }: Rates, seed: number): SimulatedLoop {
  const random = seededRandom(seed);
  const dimensions = ['model', 'prompt', 'tools', 'checker'] as const;
  return {
    changes: dimensions.map((dimension) => ({
      dimension,
      history: histories?.[dimension] ?? ['good', 'bad'],
    })),
    trial: async (variant) => {
      if (random() < fails)
        return { outcome: 'failed', reason: 'http_500: the provider failed', costUsd: 0.001 };
      return {
        outcome: 'scored',
        golden: random() < golden(variant) ? 1 : 0,
        checker: agrees ? Number(random() < agrees(variant)) : null,
        costUsd: 0.001,
        replay: '',
      };
    },
  };
}
