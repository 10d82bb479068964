import { usage } from '../harness/child.ts';
import { median } from '../harness/median.ts';
import type { BenchQuery } from './panels.ts';

/** What one query took, each time that it ran; and what of the tables it reads. */
export interface Measurement {
  ms: number[];
  /** Processor seconds of the server for all of them. */
  cpuS: number | null;
  granules: Granules | null;
}

export interface Granules {
  read: number;
  total: number;
}

/** Runs a query `times` times as the reader of dashboards and adds what it took. Throws what it was refused with. */
export async function runQuery(
  { url, pid }: { url: string; pid: number },
  { sql }: BenchQuery,
  times: number,
  into: Measurement,
): Promise<void> {
  const cpuBefore = usage(pid).cpuS;
  for (let i = 0; i < times; i++) {
    const startedAt = performance.now();
    await ask(url, sql, 'Native');
    into.ms.push(performance.now() - startedAt);
  }
  const cpuAfter = usage(pid).cpuS;
  if (cpuBefore !== null && cpuAfter !== null) into.cpuS = (into.cpuS ?? 0) + (cpuAfter - cpuBefore);
}

/** The granules that a query reads of those that its tables have, as the server plans it: `EXPLAIN indexes = 1`. */
export async function explain(url: string, { sql }: BenchQuery): Promise<Granules | null> {
  const plan = await ask(url, `EXPLAIN indexes = 1 ${sql}`, 'TSVRaw');
  let read = 0;
  let total = 0;
  // The indexes of a table in turn, each as `Granules: KEPT/OFFERED`: the first was offered all, the last kept what is read.
  for (const table of plan.split('ReadFromMergeTree').slice(1)) {
    const steps = [...table.matchAll(/Granules: (\d+)\/(\d+)/g)];
    if (steps.length === 0) continue;
    total += Number(steps[0]![2]);
    read += Number(steps.at(-1)![1]);
  }
  return total === 0 ? null : { read, total };
}

async function ask(url: string, sql: string, format: string): Promise<string> {
  const answer = await fetch(`${url}/?user=grafana&default_format=${format}`, { method: 'POST', body: sql });
  const body = await answer.text();
  if (!answer.ok) throw new Error(`${body.slice(0, 500)}\nThe query was:\n${sql}`);
  return body;
}

/**
 * By what power of the size times grow: the slope of the least-squares line through (log size, log median time). 0 is a query
 * that costs the same however much is stored, 1 one that reads all of it. `null` where there is one size.
 */
export function growthExponent(bySize: readonly { size: number; ms: readonly number[] }[]): number | null {
  const points = bySize.flatMap(({ size, ms }) => {
    const typical = median(ms);
    return typical === null || !(typical > 0) ? [] : [{ x: Math.log(size), y: Math.log(typical) }];
  });
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / points.length;
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / points.length;
  const spread = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0);
  if (!(spread > 0)) return null;
  return points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / spread;
}
