import { contentHash } from '../../src/records/normalize.ts';
import type { ProbeRow } from '../../src/store/probes.ts';
import { mcnemarE, mcnemarP } from '../stats/mcnemar.ts';

/**
 * Whether a change of the served model made the maker's answers worse: the same items, asked in the same words, before and
 * after.
 *
 * The tests. Of the items whose score differs, let `worse` have fallen and `better` have risen. If the change made nothing
 * worse, an item is no likelier to fall than to rise, whatever came out before.
 *  1. Once, when the job of the change is over: P(Binomial(worse + better, ½) ≥ worse), exact whatever the scores are. For
 *     scores of 0 and 1 it is McNemar's test (Psychometrika 12, 1947), one-sided; else the sign test.
 *  2. After every job from then on, since a model may come to a loop a few calls at a time: each item by the first answer
 *     that it got from the new model, and McNemar's e-value, which may be looked at as often as one likes (mcnemar.ts).
 *
 * The promise. An alert is raised at p ≤ α/2 in the first or e ≥ 2/α in the second, so that of the changes that make
 * nothing worse a share of at most α = `FALSE_ALARM` ever raises one. It rests on the items being chosen and paired by their
 * ids alone, never by what came out. (e counts both directions and needs worse > better besides, so it errs less.)
 */
export const FALSE_ALARM = 0.01;

export interface Comparison {
  /** Items with a score before and after. */
  pairs: number;
  worse: number;
  better: number;
  /** Mean scores of the pairs; `undefined` without any. */
  before: number | undefined;
  after: number | undefined;
  /** Scores after the change of items that have none from before, and of those that another model answered. */
  unpaired: number;
  answeredByOthers: number;
  /** Traces of the probes that scored lower. */
  worseTraces: string[];
}

export interface Change {
  /** The job that probed it. */
  jobId: string;
  servedModel: string;
  /** Models that an open alert is about: what they answered is no baseline. */
  blamed: ReadonlySet<string>;
}

/** The scores that a change is held against: of each item, by what was asked, the latest from another model. */
export function scoresBefore(
  probes: readonly ProbeRow[],
  { jobId, servedModel, blamed }: Change,
): Map<string, number> {
  const before = new Map<string, number>();
  for (const probe of probes) {
    if (probe.job_id === jobId) break; // what came later is not before
    if (probe.score === null || probe.served_model === servedModel || blamed.has(probe.served_model))
      continue;
    before.set(pairKey(probe), probe.score);
  }
  return before;
}

/** What two probes have in common that can be compared. */
export const pairKey = ({
  item_hash,
  template_version,
}: Pick<ProbeRow, 'item_hash' | 'template_version'>): string => `${template_version}/${item_hash}`;

/** Two probes of one hash asked about the same. */
export const itemHash = ({ input, expected }: { input: string; expected: string }): string =>
  contentHash(`${input}\0${expected}`);

/**
 * Compares what came after a change, in its job or also since then, with what was before the job.
 * `probes` are the suite's, of the maker, oldest first.
 */
export function compareAcross(
  probes: readonly ProbeRow[],
  change: Change,
  reach: 'job' | 'since',
): Comparison {
  const before = scoresBefore(probes, change);
  const first = probes.findIndex(({ job_id }) => job_id === change.jobId);
  const after = (first < 0 ? [] : probes.slice(first)).filter(
    ({ job_id, score }) => score !== null && (reach === 'since' || job_id === change.jobId),
  );
  const byModel = after.filter(({ served_model }) => served_model === change.servedModel);
  const answered = [...Map.groupBy(byModel, pairKey).values()].map(([earliest]) => earliest!);
  const pairs = answered.flatMap((probe) => {
    const was = before.get(pairKey(probe));
    return was === undefined ? [] : [{ was, is: probe.score!, trace: probe.trace_id }];
  });
  const worse = pairs.filter(({ was, is }) => is < was);
  return {
    pairs: pairs.length,
    worse: worse.length,
    better: pairs.filter(({ was, is }) => is > was).length,
    before: mean(pairs.map(({ was }) => was)),
    after: mean(pairs.map(({ is }) => is)),
    unpaired: answered.length - pairs.length,
    answeredByOthers: after.length - byModel.length,
    worseTraces: worse.map(({ trace }) => trace),
  };
}

export type Counts = Pick<Comparison, 'worse' | 'better'>;

/** One-sided and exact; `undefined` where no score differs, and 1 where no more fell than rose. */
export function pWorse({ worse, better }: Counts): number | undefined {
  const p = mcnemarP(worse, better);
  if (p === undefined) return undefined;
  return worse > better ? p / 2 : 1;
}

/** Evidence that more fall than rise; 0 where no more did. */
export const eWorse = ({ worse, better }: Counts): number => (worse > better ? mcnemarE(worse, better) : 0);

export const isWorseOnce = (counts: Counts): boolean => (pWorse(counts) ?? 1) <= FALSE_ALARM / 2;
export const isWorseSince = (counts: Counts): boolean => eWorse(counts) >= 2 / FALSE_ALARM;

export const mean = (values: readonly number[]): number | undefined =>
  values.length === 0 ? undefined : values.reduce((a, b) => a + b, 0) / values.length;
