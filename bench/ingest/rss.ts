import { usage } from '../harness/child.ts';
import { median } from '../harness/median.ts';

/** How much memory a process has, looked at again and again. */
export interface RssSamples {
  /** Of the samples since the last time it was asked, which are then forgotten. */
  take(): RssSummary;
  stop(): void;
}

export interface RssSummary {
  firstMinuteMb: number | null;
  lastMinuteMb: number | null;
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

/** `null` for what too few samples say nothing of. */
export function summaryOf(samples: readonly Sample[]): RssSummary {
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || !last) return { firstMinuteMb: null, lastMinuteMb: null, peakMb: null, mbPerMinute: null };
  const within = (from: number, to: number) =>
    median(samples.filter(({ atMs }) => atMs >= from && atMs <= to).map(({ mb }) => mb));
  return {
    firstMinuteMb: within(first.atMs, first.atMs + MINUTE_MS),
    lastMinuteMb: within(last.atMs - MINUTE_MS, last.atMs),
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
