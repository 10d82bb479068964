import { usage } from '../harness/child.ts';

/** How much memory a process has, looked at again and again. */
export interface RssSamples {
  /** Of the samples since the last time it was asked, which are then forgotten. */
  take(): RssSummary;
  stop(): void;
}

export interface RssSummary {
  /**
   * The least in each fifth of the time, in order. A collected heap goes up and down by a hundred megabytes; what is never
   * given back shows in how far down it comes.
   */
  lowestMb: readonly number[];
  peakMb: number | null;
  /** Of the line with the least squares through all samples. */
  mbPerMinute: number | null;
}

/** A look: when, and what was seen. */
export interface Sample {
  atMs: number;
  mb: number;
}

const EVERY_MS = 1_000;
const MINUTE_MS = 60_000;
const PARTS = 5;

/** Looks every second from now on. */
export function sampleRss(pid: number): RssSamples {
  let samples: Sample[] = [];
  const look = () => {
    const mb = usage(pid).rssMb;
    if (mb !== null) samples.push({ atMs: performance.now(), mb });
  };
  const timer = setInterval(look, EVERY_MS);
  return {
    take: () => {
      look();
      const summary = summaryOf(samples);
      samples = [];
      return summary;
    },
    stop: () => clearInterval(timer),
  };
}

/** Nothing of no samples, and no slope of one. */
export function summaryOf(samples: readonly Sample[]): RssSummary {
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || !last) return { lowestMb: [], peakMb: null, mbPerMinute: null };
  const lowest = new Array<number>(PARTS).fill(Number.POSITIVE_INFINITY);
  for (const { atMs, mb } of samples) {
    const share = (atMs - first.atMs) / Math.max(1, last.atMs - first.atMs);
    const part = Math.min(PARTS - 1, Math.floor(share * PARTS));
    lowest[part] = Math.min(lowest[part]!, mb);
  }
  return {
    lowestMb: lowest.filter(Number.isFinite),
    peakMb: Math.max(...samples.map(({ mb }) => mb)),
    mbPerMinute: slope(samples.map(({ atMs, mb }) => [(atMs - first.atMs) / MINUTE_MS, mb])),
  };
}

/** `null` where all points have one x. */
function slope(points: readonly (readonly [number, number])[]): number | null {
  const middle = (of: 0 | 1) => points.reduce((sum, point) => sum + point[of], 0) / points.length;
  const [x0, y0] = [middle(0), middle(1)];
  const across = points.reduce((sum, [x]) => sum + (x - x0) ** 2, 0);
  return across > 0 ? points.reduce((sum, [x, y]) => sum + (x - x0) * (y - y0), 0) / across : null;
}
