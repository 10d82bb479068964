import { seededRandom } from '../../src/clock.ts';
import type { Detector } from './detector.ts';

/** Streams of coin tosses, and how long detectors take on them. The same seed gives the same streams to every detector. */

/** Run lengths to the first alarm while nothing changes; those that reached `cutAt` without one are cut there. */
export interface RunLengths {
  lengths: number[];
  cut: number;
}

export interface Streams {
  seed: number;
  streams: number;
}

export function runLengths(
  detector: Detector,
  rate: number,
  { seed, streams, cutAt }: Streams & { cutAt: number },
): RunLengths {
  const lengths: number[] = [];
  let cut = 0;
  for (let i = 0; i < streams; i++) {
    const random = seededRandom(streamSeed(seed, i));
    const watcher = detector(seededRandom(streamSeed(seed, i) + 1));
    let length = 1;
    while (!watcher(random() < rate ? 1 : 0) && length < cutAt) length++;
    if (length === cutAt) cut++;
    lengths.push(length);
  }
  return { lengths, cut };
}

/** What a fall from one rate to another costs. */
export interface Delays {
  /** Runs from the first after the change to the alarm, both counted; `cutAt` where it was missed. */
  delays: number[];
  missed: number;
  /** Streams left out because the alarm came before there was anything to alarm about. */
  early: number;
}

/** Delays after a fall that comes when `healthy` runs are over. */
export function delays(
  detector: Detector,
  { before, after, healthy }: { before: number; after: number; healthy: number },
  { seed, streams, cutAt }: Streams & { cutAt: number },
): Delays {
  const result: Delays = { delays: [], missed: 0, early: 0 };
  for (let i = 0; i < streams; i++) {
    const random = seededRandom(streamSeed(seed, i));
    const watcher = detector(seededRandom(streamSeed(seed, i) + 1));
    let isEarly = false;
    for (let run = 0; run < healthy && !isEarly; run++) isEarly = watcher(random() < before ? 1 : 0);
    if (isEarly) {
      result.early++;
      continue;
    }
    let delay = 1;
    while (!watcher(random() < after ? 1 : 0) && delay < cutAt) delay++;
    if (delay === cutAt) result.missed++;
    result.delays.push(delay);
  }
  return result;
}

/** Halvings of the range of thresholds: far below what the simulation can tell apart. */
const HALVINGS = 16;
/** Streams are cut at so many times the run length that is looked for. */
const CUT_AT = 3;

/**
 * The threshold at which a detector has a measured average run length of `arl`, by bisection on the same streams.
 * `low` must give the shorter run lengths of the two when `rising`, else the longer ones.
 * The run length is estimated as runs per alarm: the maximum of the likelihood for cut, memoryless run lengths.
 */
export function tune(
  family: (threshold: number) => Detector,
  rate: number,
  arl: number,
  range: { low: number; high: number; rising: boolean },
  streams: Streams,
): number {
  let { low, high } = range;
  for (let i = 0; i < HALVINGS; i++) {
    const middle = (low + high) / 2;
    const { lengths, cut } = runLengths(family(middle), rate, { ...streams, cutAt: CUT_AT * arl });
    const perAlarm = lengths.reduce((a, b) => a + b, 0) / Math.max(lengths.length - cut, 0.5);
    if (perAlarm < arl === range.rising) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

const streamSeed = (seed: number, stream: number) => seed * 1_000_003 + stream * 2;
