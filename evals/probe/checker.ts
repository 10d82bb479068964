import type { ProbeRow } from '../../src/store/probes.ts';
import { clopperPearson, type Interval } from '../stats/binomial-interval.ts';
import { advance, evidence, evidenceOfBestStart, noEvidence } from '../stats/e-detector.ts';

/**
 * What probes say of a checker: it was shown answers that are known to be right and to be wrong.
 *
 * Two faults are watched for, each by its own stream of verdicts: that it passes wrong answers (at worst all of them, a
 * checker that is no check), and that it refuses right ones. The promise: while the checker gets, given what came before,
 * at least half of a stream right, an alert of that stream comes after at least `arl` of its verdicts on average
 * (e-detector.ts, at the level of a coin). A checker that is worse
 * than that on wrong answers lets the loop report success whatever it does. An answer without a verdict is counted and is
 * neither. After an alert the fault is over when the verdicts speak as clearly for the opposite: e³ ≈ 20.
 */
export type Fault = 'passes_wrong' | 'refuses_right';

export interface Episode {
  fault: Fault;
  /** The probe whose verdict raised it, the evidence by then, and the first probe since the checker went wrong. */
  raised: ProbeRow;
  eValue: number;
  since: ProbeRow;
  /** The probe of the stream before that; `undefined` where there was none. */
  last: ProbeRow | undefined;
  /** Verdicts since then, and those that were wrong. */
  verdicts: number;
  mistakes: number;
  recovered: ProbeRow | undefined;
}

const RECOVERED_AT = 20;
const COIN = 0.5;

/** The episodes of both faults in the order they were raised. `probes` are the suite's of the checker, oldest first. */
export function checkerEpisodes(probes: readonly ProbeRow[], arl: number): Episode[] {
  const judged = probes.filter(({ passed }) => passed !== null);
  return [
    ...episodesOf(
      'passes_wrong',
      judged.filter(({ truth }) => truth === 'wrong'),
      arl,
    ),
    ...episodesOf(
      'refuses_right',
      judged.filter(({ truth }) => truth === 'right'),
      arl,
    ),
  ].sort((a, b) => a.raised.at - b.raised.at);
}

/** Whether the checker's verdict was a mistake. */
const isMistake = ({ passed, truth }: ProbeRow): boolean => passed !== (truth === 'right');

function episodesOf(fault: Fault, stream: readonly ProbeRow[], arl: number): Episode[] {
  const episodes: Episode[] = [];
  let open: Episode | undefined;
  let detector = noEvidence();
  stream.forEach((probe, index) => {
    // Once it is raised the detector turns: what speaks for an end is a verdict that was no mistake.
    const speaks = isMistake(probe) === (open === undefined);
    advance(detector, speaks ? 0 : 1, COIN, index);
    if (open === undefined && evidence(detector) >= arl && detector.since.n > 0) {
      const first = detector.since.start;
      const since = stream.slice(first, index + 1);
      open = {
        fault,
        raised: probe,
        eValue: evidence(detector),
        since: since[0]!,
        last: stream[first - 1],
        verdicts: since.length,
        mistakes: since.filter(isMistake).length,
        recovered: undefined,
      };
      episodes.push(open);
      detector = noEvidence();
    } else if (open !== undefined && evidenceOfBestStart(detector) >= RECOVERED_AT) {
      open.recovered = probe;
      open = undefined;
      detector = noEvidence();
    }
  });
  return episodes;
}

export interface Rate extends Interval {
  rate: number;
  n: number;
}

/** How good a checker is by the newest probes in its present words. `undefined` where nothing was judged. */
export interface CheckerQuality {
  /** Share of right answers that it passes. */
  sensitivity: Rate | undefined;
  /** Share of wrong answers that it refuses. */
  specificity: Rate | undefined;
  /** Probes without a verdict. */
  errors: number;
}

const NEWEST_MAX = 400;

/** With exact 95 % intervals (Clopper & Pearson), over the newest probes that asked as the last one did. */
export function checkerQuality(probes: readonly ProbeRow[]): CheckerQuality {
  const version = probes.at(-1)?.template_version;
  const alike = probes.filter((probe) => probe.template_version === version).slice(-NEWEST_MAX);
  const judged = alike.filter(({ passed }) => passed !== null);
  const rate = (truth: ProbeRow['truth']): Rate | undefined => {
    const verdicts = judged.filter((probe) => probe.truth === truth);
    const good = verdicts.filter((probe) => !isMistake(probe)).length;
    const interval = clopperPearson(good, verdicts.length);
    return interval && { rate: good / verdicts.length, ...interval, n: verdicts.length };
  };
  return { sensitivity: rate('right'), specificity: rate('wrong'), errors: alike.length - judged.length };
}
