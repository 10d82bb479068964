import type { Store } from '../../src/store/client.ts';
import { type ProbeJobRow, type ProbeRow, probeCost, probeJobs, probesOf } from '../../src/store/probes.ts';
import { nextDueAt } from '../schedule.ts';
import { wilson } from '../stats/binomial-interval.ts';
import { type CheckerQuality, checkerQuality, type Rate } from './checker.ts';
import type { ProbedSuite } from './job.ts';
import { mean } from './paired.ts';
import { asks } from './settings.ts';

/** How a suite's probes stand. */
export interface ProbeStanding {
  suite: string;
  loop: string;
  /** Milliseconds. */
  dueAt: number | undefined;
  last: ProbeJobRow | undefined;
  maker: (MakerQuality & { agent: string }) | undefined;
  checker: (CheckerQuality & { agent: string }) | undefined;
  /** What all of them cost; `null` where nobody said. */
  costUsd: number | null;
}

export interface MakerQuality {
  /** The model that answered last. */
  servedModel: string;
  /** Mean golden score of its newest scheduled answers, in its present words, with Wilson's 95 % interval. */
  score: Rate | undefined;
  /** Probes without a score among as many. */
  errors: number;
}

const NEWEST_MAX = 200;

/** `probes` are the suite's of the maker, oldest first. */
export function makerQuality(probes: readonly ProbeRow[]): MakerQuality {
  const scheduled = probes.filter(({ reason }) => reason === 'schedule');
  const last = scheduled.findLast(({ score }) => score !== null);
  const asked = scheduled
    .filter(({ template_version }) => template_version === scheduled.at(-1)?.template_version)
    .slice(-NEWEST_MAX);
  const scores = asked.flatMap(({ score, served_model }) =>
    score !== null && served_model === last?.served_model ? [score] : [],
  );
  const interval = wilson(
    scores.reduce((a, b) => a + b, 0),
    scores.length,
  );
  return {
    servedModel: last?.served_model ?? '',
    score: interval && { rate: mean(scores)!, ...interval, n: scores.length },
    errors: asked.filter(({ score }) => score === null).length,
  };
}

/** How the probes of a suite stand at `now`. Throws what the store throws. */
export async function probeStanding(store: Store, suite: ProbedSuite, now: number): Promise<ProbeStanding> {
  const { suite: name, loop, probe, timezone } = suite;
  const of = (kind: ProbeRow['kind']) => probesOf(store, { suite: name, loop, kind });
  const jobs = await probeJobs(store, { suite: name });
  return {
    suite: name,
    loop,
    dueAt: nextDueAt({ suite: name, schedule: probe.schedule, timezone }, now),
    last: jobs.toSorted((a, b) => a.at - b.at).at(-1),
    maker: asks(probe) ? { agent: probe.agent, ...makerQuality(await of('maker')) } : undefined,
    checker: probe.checker && { agent: probe.checker.agent, ...checkerQuality(await of('checker')) },
    costUsd: await probeCost(store, { suite: name, loop }),
  };
}
