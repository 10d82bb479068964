import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { systemClock } from '../src/clock.ts';
import { openStore, type Store } from '../src/store/client.ts';
import { startEmbedded } from '../src/store/embedded.ts';
import { migrate } from '../src/store/migrate.ts';
import type { Look } from './fleet/detect-process.ts';
import type { Bench, Figures } from './harness/bench.ts';
import { type Child, startChild, usage } from './harness/child.ts';
import { median } from './harness/median.ts';

/**
 * Detection over a fleet: how long its detectors take to catch up with all scores from nothing, after a restart with
 * nothing new, and with a few new scores of every loop; and what memory that takes. ClickHouse is the embedded one,
 * on the same cores. Of every thousand loops one fails in its last third.
 */
const MEMORY_BYTES_MAX = 4_000_000_000;
const ROWS_AT_ONCE = 100_000;
const FAILS_ONE_IN = 1000;

export const bench: Bench = {
  name: 'fleet',
  summary: 'detection over a fleet: seconds to catch up with all scores, after a restart, and with new ones',
  seconds: 1,
  flags: {
    loops: { help: 'loops', default: 10_000 },
    runs: { help: 'scored runs of each loop', default: 100 },
    more: { help: 'scored runs that each loop then makes', default: 10 },
  },
  run: async ({ rounds, flags, progress }) => {
    const { loops, runs, more } = flags as { loops: number; runs: number; more: number };
    const dataDir = await mkdtemp(join(tmpdir(), 'loopscope-bench-fleet-'));
    const clock = systemClock();
    const server = await startEmbedded({
      dataDir,
      httpPort: 0,
      nativePort: 0,
      memoryBytesMax: MEMORY_BYTES_MAX,
      clock,
      log: pino({ level: 'silent' }),
    });
    const store = openStore({ url: server.url, requestTimeoutMs: 300_000 });
    try {
      await migrate(store, clock);
      progress(`${loops * runs} runs are stored`);
      await insertScoredRuns(store, { loops, from: 0, runs });
      const seen = { cold: [] as Seen[], restart: [] as Seen[], more: [] as Seen[] };
      for (let round = 0; round < rounds; round++) {
        await store.command(`TRUNCATE TABLE ${store.database}.detector_states`);
        await store.command(`TRUNCATE TABLE ${store.database}.alerts`);
        seen.cold.push(await lookOnce(server));
        seen.restart.push(await lookOnce(server));
        progress(`round ${round + 1} of ${rounds}: ${seen.cold.at(-1)!.look.seconds.toFixed(1)} s`);
      }
      for (let round = 0; round < rounds; round++) {
        await insertScoredRuns(store, { loops, from: runs + round * more, runs: more });
        seen.more.push(await lookOnce(server));
      }
      return {
        conditions: {
          loops,
          scores: loops * runs,
          new_scores: loops * more,
          rounds,
          clickhouse: 'embedded, on the same cores',
        },
        figures: {
          all_scores: figuresOf(seen.cold),
          restart: figuresOf(seen.restart),
          new_scores: figuresOf(seen.more),
        },
        ratios: {},
      };
    } finally {
      await store.close();
      await server.close();
      await rm(dataDir, { recursive: true, force: true });
    }
  },
};

interface Seen {
  look: Look;
  rssPeakMb: number | null;
  cpuS: number | null;
  serverCpuS: number | null;
}

async function lookOnce({ url, pid }: { url: string; pid: number }): Promise<Seen> {
  const script = join(import.meta.dirname, 'fleet/detect-process.ts');
  const child: Child<object> = await startChild(script, { settings: { url } });
  try {
    const before = usage(pid).cpuS;
    const look = await child.ask<Look>({});
    const { rssPeakMb, cpuS } = usage(child.pid);
    const after = usage(pid).cpuS;
    const serverCpuS = after === null || before === null ? null : after - before;
    return { look, rssPeakMb, cpuS, serverCpuS };
  } finally {
    await child.stop();
  }
}

function figuresOf(seen: readonly Seen[]): Figures {
  const of = (read: (one: Seen) => number | null) => median(seen.flatMap((one) => read(one) ?? []));
  return {
    seconds: of(({ look }) => look.seconds),
    query_s: of(({ look }) => look.querySeconds),
    store_s: of(({ look }) => look.storeSeconds),
    step_s: of(({ look }) => look.stepSeconds),
    rows: of(({ look }) => look.rows),
    scores_per_s: of(({ look }) => look.rows / look.seconds),
    alert_changes: of(({ look }) => look.alertChanges),
    cpu_s: of(({ cpuS }) => cpuS),
    clickhouse_cpu_s: of(({ serverCpuS }) => serverCpuS),
    rss_peak_mb: of(({ rssPeakMb }) => rssPeakMb),
  };
}

/** Runs `from` to `from + runs` of every loop: a call and the run's end, with its verdict and golden score. */
async function insertScoredRuns(
  store: Store,
  { loops, from, runs }: { loops: number; from: number; runs: number },
): Promise<void> {
  const perInsert = Math.max(1, Math.floor(ROWS_AT_ONCE / runs));
  for (let first = 0; first < loops; first += perInsert) {
    await store.command(
      `INSERT INTO ${store.database}.otel_traces
         (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, SpanAttributes, Duration, StatusCode)
       SELECT addMinutes(toDateTime64('2026-01-01 00:00:00', 9, 'UTC'), i) AS started,
         lower(hex(sipHash128(loop, i))) AS trace, lower(hex(sipHash64(loop, i, record))) AS span,
         record, 'Internal', 'loopscope',
         mapConcat(map('loopscope.loop', loop, 'loopscope.run.id', concat(loop, '/', toString(i)), 'loopscope.record', record),
           if(record = 'call',
             map('loopscope.agent.role', 'maker', 'gen_ai.response.model', 'm-1',
               'loopscope.input.hash', trace, 'loopscope.output.text.hash', span),
             map('loopscope.golden.score', toString(right), 'loopscope.verdict.pass', 'true',
               'loopscope.checker.name', 'checks', 'loopscope.checker.version', 'v1'))), 1000000, 'Unset'
       FROM (
         SELECT concat('loop-', leftPad(toString(l), 5, '0')) AS loop, i, arrayJoin(['call', 'run']) AS record,
           toUInt8(sipHash64(l, i) % 100 < if(l % ${FAILS_ONE_IN} = 0 AND i * 3 >= 2 * {runs:UInt32}, 40, 90)) AS right
         FROM (SELECT arrayJoin(range({first:UInt32}, {last:UInt32})) AS l, arrayJoin(range({from:UInt32}, {to:UInt32})) AS i)
       )`,
      { first, last: Math.min(loops, first + perInsert), from, to: from + runs, runs },
    );
  }
}
