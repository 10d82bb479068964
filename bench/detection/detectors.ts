import { initial, step } from '../../evals/detect/golden.ts';
import { advance, evidence, noEvidence } from '../../evals/stats/e-detector.ts';

/** The detectors that are compared. Each takes scores of 0 or 1, one a run, and says when it alarms. */

/** One stream's detector: takes the next score, gives `true` at an alarm. */
export type Watcher = (score: number) => boolean;

/** Starts a watcher for a new stream. `random` is for detectors that toss a coin at their threshold. */
export type Detector = (random: () => number) => Watcher;

/** Ours, as it runs: the baseline is learnt from the stream itself, the threshold is the guaranteed one. */
export const learnt =
  (arl: number): Detector =>
  () => {
    let state = initial({ arl });
    let index = 0;
    return (score) => {
      const result = step(state, { ...RUN, index: index++, score });
      state = result.state;
      return result.events.some((event) => event.type === 'alarm' && event.alarm.kind === 'golden_drop');
    };
  };

const RUN = {
  runId: 'r',
  at: '2026-01-01T00:00:00Z',
  checkerPass: true,
  effects: 1,
  inputHash: '',
  outputHash: '',
  servedModel: 'm',
  promptVersion: '',
  toolsVersion: '',
  checkerVersion: '',
  datasetVersion: '',
  task: '',
};

/** The e-detector alone, told the rate before the change; the threshold is the guaranteed one, `arl` itself. */
export const known =
  (rate: number, arl: number): Detector =>
  () => {
    let detector = noEvidence();
    return (score) => {
      detector = advance(detector, score, rate);
      return evidence(detector) >= arl;
    };
  };

/** Page's CUSUM of the log-likelihood ratio, told both rates: the fastest there is at its run length (Lorden, Moustakides). */
export const cusum =
  (before: number, after: number) =>
  (threshold: number): Detector =>
  () => {
    const hit = Math.log(after / before);
    const miss = Math.log((1 - after) / (1 - before));
    let sum = 0;
    return (score) => {
      sum = Math.max(0, sum + (score === 1 ? hit : miss));
      return sum >= threshold;
    };
  };

/**
 * The mean of the last `window` scores under a threshold: alarms while at most `hits` of them are 1. Whole numbers
 * meet no promised run length, so the fraction of `hits` is the probability of an alarm at one hit more.
 */
export const rolling =
  (window: number) =>
  (hits: number): Detector =>
  (random) => {
    const always = Math.floor(hits);
    const sometimes = hits - always;
    const last = new Uint8Array(window);
    let seen = 0;
    let sum = 0;
    return (score) => {
      const at = seen % window;
      sum += score - last[at]!;
      last[at] = score;
      seen++;
      if (seen < window) return false;
      return sum <= always || (sum === always + 1 && random() < sometimes);
    };
  };
