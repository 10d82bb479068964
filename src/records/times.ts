import type { RunRecord } from './record.ts';

/** When the work of some records began and ended: `ts` is the beginning, `latency_ms` the time it took. */
export function recordTimes(records: readonly RunRecord[]): { startNs: bigint; endNs: bigint } {
  const starts = records.map((r) => timestampNs(r.ts));
  const ends = records.map((r, i) => starts[i]! + BigInt(Math.round((r.latency_ms ?? 0) * 1e6)));
  return { startNs: starts.sort(ascending)[0]!, endNs: ends.sort(ascending).at(-1)! };
}

const ascending = (a: bigint, b: bigint) => Number(a - b);

/** Nanoseconds since 1970 of an ISO 8601 time with a zone, every digit of its fraction up to nine. */
export function timestampNs(ts: string): bigint {
  const fraction = /\.(\d+)/.exec(ts)?.[1] ?? '';
  const wholeSecondsMs = Date.parse(ts.replace(/\.\d+/, ''));
  return BigInt(wholeSecondsMs) * 1_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, '0'));
}
