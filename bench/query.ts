import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { createStandingWatch } from '../evals/standing/watch.ts';
import { type Clock, systemClock } from '../src/clock.ts';
import type { Registry } from '../src/registry/load.ts';
import { openStore, type Store } from '../src/store/client.ts';
import { startEmbedded } from '../src/store/embedded.ts';
import { migrate } from '../src/store/migrate.ts';
import type { Bench, Figures, Measured } from './harness/bench.ts';
import { quantile } from './harness/median.ts';
import { merged } from './harness/merged.ts';
import { DAYS, fillRuns, SPANS_PER_RUN } from './query/fill.ts';
import { explain, growthExponent, type Measurement, runQuery } from './query/measure.ts';
import { type BenchQuery, benchQueries } from './query/panels.ts';
import { fillSurroundings } from './query/surroundings.ts';

/**
 * What dashboards cost: every query of theirs, and of the alert rules, as the user who reads them, over an embedded
 * ClickHouse that is filled step by step to each of `--sizes` million spans.
 */
const MEMORY_BYTES_MAX = 4_000_000_000;
/** Within a round, one after the other, as a dashboard that is looked at is loaded again and again. */
const TIMES_A_ROUND = 4;
/** A panel that takes longer is one to work on. */
const PANEL_MS_MAX = 300;

export const bench: Bench = {
  name: 'query',
  summary: 'dashboards over millions of spans: milliseconds a panel, and how they grow with what is stored',
  flags: { loops: { help: 'loops', default: 200 } },
  lists: { sizes: { help: 'millions of spans, ascending', default: [1, 3, 10] } },
  seconds: 1,
  run: async ({ rounds, flags, lists, progress }) => {
    const loops = flags['loops']!;
    const sizes = lists['sizes']!.toSorted((a, b) => a - b);
    const dataDir = await mkdtemp(join(tmpdir(), 'loopscope-bench-query-'));
    const clock = systemClock();
    const log = pino({ level: 'silent' });
    const server = await startEmbedded({
      dataDir,
      httpPort: 0,
      nativePort: 0,
      memoryBytesMax: MEMORY_BYTES_MAX,
      clock,
      log,
    });
    const store = openStore({ url: server.url, requestTimeoutMs: 600_000 });
    try {
      await migrate(store, clock);
      const nowMs = clock.now();
      await fillSurroundings(store, { loops, nowMs });
      const stages: Stage[] = [];
      let runs = 0;
      for (const size of sizes) {
        const to = Math.round((size * 1e6) / SPANS_PER_RUN);
        progress(`filling up to ${size} million spans, ${to} runs`);
        await fillRuns(store, { loops, from: runs, to, nowMs });
        runs = to;
        await merged(store, clock);
        const standingsMs = await lookAtStandings(store, clock);
        const queries = benchQueries(nowMs, await someRun(store));
        stages.push({ size, standingsMs, taken: await measure(server, queries, rounds, progress) });
      }
      return report(stages, { loops, rounds, runs });
    } finally {
      await store.close();
      await server.close();
      await rm(dataDir, { recursive: true, force: true });
    }
  },
};

interface Stage {
  /** Millions of spans. */
  size: number;
  /** What evals take to work out how every loop stands, which dashboards then read. */
  standingsMs: number;
  taken: Map<string, Measurement>;
}

async function lookAtStandings(store: Store, clock: Clock): Promise<number> {
  const registry: Registry = { loops: new Map(), loop: () => undefined };
  const config = { evals: { detect_every_s: 1, run_idle_s: 300 } };
  const startedAt = performance.now();
  await createStandingWatch({ store, clock, config, registry: () => registry }).look();
  return performance.now() - startedAt;
}

/** A run from the middle of the month, of the loop whose dashboards are asked for. */
async function someRun(store: Store): Promise<string> {
  const [row] = await store.query<{ run: string }>(
    `SELECT run_id AS run FROM ${store.database}.runs WHERE loop = 'loop-000' ORDER BY started_at LIMIT 1 OFFSET 20`,
  );
  return row!.run;
}

async function measure(
  server: { url: string; pid: number },
  queries: readonly BenchQuery[],
  rounds: number,
  progress: (text: string) => void,
): Promise<Map<string, Measurement>> {
  const taken = new Map<string, Measurement>();
  for (const query of queries) {
    // Caches are warm, as they are where somebody looks at dashboards.
    await runQuery(server, query, 1, { ms: [], cpuS: null, granules: null });
    taken.set(query.name, { ms: [], cpuS: null, granules: await explain(server.url, query) });
  }
  for (let round = 0; round < rounds; round++) {
    for (const query of queries) await runQuery(server, query, TIMES_A_ROUND, taken.get(query.name)!);
    progress(`round ${round + 1} of ${rounds}`);
  }
  return taken;
}

function report(
  stages: readonly Stage[],
  { loops, rounds, runs }: { loops: number; rounds: number; runs: number },
): Measured {
  const largest = stages.at(-1)!;
  const names = [...largest.taken.keys()].sort();
  const of = (figure: (measurement: Measurement, name: string) => number | null | Figures): Figures =>
    Object.fromEntries(names.map((name) => [name, figure(largest.taken.get(name)!, name)]));
  const p95 = of(({ ms }) => quantile(ms, 0.95));
  const slow = names.filter((name) => (p95[name] as number) > PANEL_MS_MAX);
  return {
    conditions: {
      millions_of_spans: stages.map(({ size }) => size).join(', '),
      runs,
      loops,
      days: DAYS,
      samples: rounds * TIMES_A_ROUND,
      clickhouse: 'embedded, caches warm, no inserts meanwhile',
      over_300_ms_p95: slow.join(', ') || 'none',
    },
    figures: {
      standings_look_ms: largest.standingsMs,
      panel_ms: p95,
      panel_median_ms: of(({ ms }) => quantile(ms, 0.5)),
      growth_exponent: of((_, name) =>
        growthExponent(stages.map(({ size, taken }) => ({ size, ms: taken.get(name)!.ms }))),
      ),
      cpu_ms: of(({ cpuS, ms }) => (cpuS === null ? null : (cpuS * 1000) / ms.length)),
      granules: of(({ granules }) => (granules ? { read: granules.read, total: granules.total } : null)),
    },
    ratios: {},
  };
}
