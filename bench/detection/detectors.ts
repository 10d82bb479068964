import { MEASURES } from '../../evals/detect/watch.ts';
import { advance, evidence, noEvidence } from '../../evals/stats/e-detector.ts';
import type { Detector } from './detector.ts';
import { learntOf } from './kinds.ts';

/** The detectors that are compared. Each takes scores of 0 or 1, one a run, and says when it alarms. */

/** Ours, as it runs: the baseline is learnt from the stream itself, the threshold is the guaranteed one. */
export const learnt = (arl: number): Detector => learntOf('golden', arl);

/** The e-detector alone, told the rate before the change; the threshold is the guaranteed one, which other measures share. */
export const known =
  (rate: number, arl: number): Detector =>
  () => {
    const detector = noEvidence();
    const threshold = arl / MEASURES.golden.weight;
    let runs = 0;
    return (score) => {
      advance(detector, score, rate, runs++);
      return evidence(detector) >= threshold;
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
