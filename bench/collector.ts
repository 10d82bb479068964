import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { systemClock } from '../src/clock.ts';
import { openStore, type Store } from '../src/store/client.ts';
import { type Embedded, startEmbedded } from '../src/store/embedded.ts';
import { migrate } from '../src/store/migrate.ts';
import type { Bench, BenchOptions, Measured } from './harness/bench.ts';
import { type Child, startChild, usage } from './harness/child.ts';
import { median, medianRatio } from './harness/median.ts';
import type { SenderSettings, Sending, Sent } from './ingest/sender.ts';
import { type Transcoded, transcodeBench } from './ingest/transcode.ts';

/**
 * How many spans the collector takes, beside what ClickHouse takes of blocks that cost nobody anything to make.
 *
 *     sender ── OTLP protobuf ──► collector ──► ClickHouse      what is measured
 *     sender ── Native blocks ────────────────► ClickHouse      the ceiling
 *
 * The processes share all cores, as they do on one machine. The table is empty at the start of every measurement, and
 * a measurement counts only if ClickHouse has exactly the rows that were acknowledged.
 */
export const bench: Bench = {
  name: 'collector',
  summary: 'spans/s from OTLP into ClickHouse, beside ready-made blocks put straight into it',
  flags: {
    connections: { help: 'connections of the sender, for spans and for blocks alike', default: 16 },
  },
  seconds: 5,
  run,
};

const SPANS_PER_BATCH = 512;
/** As many as the collector gathers into one insert at most. */
const ROWS_PER_BLOCK = 10_000;
const TABLE = 'loopscope.otel_traces';
const WARM_UP_S = 3;
const CLICKHOUSE_BYTES_MAX = 4_000_000_000;

interface Round {
  spansPerS: number;
  ceilingPerS: number;
  collectorCpuS: number | null;
  clickhouseCpuS: number | null;
  ackP50: number | null;
  ackP99: number | null;
  failed: number;
}

/** Everything that takes part. */
interface Stage {
  store: Store;
  clickhouse: Embedded;
  collector: Child<{ url: string }>;
  sender: Child<unknown>;
}

async function run(options: BenchOptions): Promise<Measured> {
  const stops: (() => Promise<unknown>)[] = [];
  try {
    const stage = await setUp(stops);
    const connections = options.flags['connections']!;
    options.progress('transcoding alone');
    const transcoded = transcodeBench();
    options.progress('warming up');
    await send(stage, { what: 'otlp', connections, seconds: WARM_UP_S });
    await stage.collector.ask({});
    const block = await stage.sender.ask<{ bytes: number }>({ what: 'block' });
    await empty(stage);
    await send(stage, { what: 'native', connections, seconds: WARM_UP_S / 2 });
    const rounds: Round[] = [];
    for (let round = 0; round < options.rounds; round++) {
      options.progress(`round ${round + 1} of ${options.rounds}`);
      rounds.push(await playRound(stage, connections, options.seconds, round % 2 === 0));
    }
    return {
      conditions: {
        rounds: options.rounds,
        seconds: options.seconds,
        connections,
        spans: `20 attributes and one event each, ${SPANS_PER_BATCH} a request, ids always new`,
        ceiling: `Native blocks of ${ROWS_PER_BLOCK} such rows (${block.bytes} bytes), each insert with a token of its own`,
        counted: 'every measurement: rows in ClickHouse equal spans acknowledged',
        cores: 'shared by sender, collector and ClickHouse',
        half_load: 'half of the rate of the same round',
        spans_per_s: 'from the first request until ClickHouse has the last span, the spool emptied',
        transcode: 'CPU of one thread; the reference decodes into objects and makes the same blocks of them',
      },
      ...summary(rounds, stage, transcoded),
    };
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function setUp(stops: (() => Promise<unknown>)[]): Promise<Stage> {
  const clock = systemClock();
  const dataDir = await mkdtemp(join(tmpdir(), 'loopscope-bench-collector-'));
  stops.push(() => rm(dataDir, { recursive: true, force: true }));
  const clickhouse = await startEmbedded({
    dataDir,
    httpPort: 0,
    nativePort: 0,
    memoryBytesMax: CLICKHOUSE_BYTES_MAX,
    clock,
    log: pino({ level: 'error' }, pino.destination(2)),
  });
  stops.push(() => clickhouse.close());
  const store = openStore({ url: clickhouse.url });
  stops.push(() => store.close());
  await migrate(store, clock);
  const collector = await startChild<{ url: string }>(
    join(import.meta.dirname, 'ingest/collector-process.ts'),
    { settings: { clickhouseUrl: clickhouse.url } },
  );
  stops.push(() => collector.stop());
  const settings: SenderSettings = {
    collectorUrl: collector.ready.url,
    clickhouseUrl: clickhouse.url,
    spansPerBatch: SPANS_PER_BATCH,
    rowsPerBlock: ROWS_PER_BLOCK,
    table: TABLE,
  };
  const sender = await startChild(join(import.meta.dirname, 'ingest/sender.ts'), { settings });
  stops.push(() => sender.stop());
  return { store, clickhouse, collector, sender };
}

async function playRound(
  stage: Stage,
  connections: number,
  seconds: number,
  ceilingFirst: boolean,
): Promise<Round> {
  const ceiling = () => measured(stage, { what: 'native', connections, seconds });
  const before = ceilingFirst ? await ceiling() : undefined;
  await empty(stage);
  const start = { collector: usage(stage.collector.pid), clickhouse: usage(stage.clickhouse.pid) };
  const full = await measured(stage, { what: 'otlp', connections, seconds }, false);
  const end = { collector: usage(stage.collector.pid), clickhouse: usage(stage.clickhouse.pid) };
  const perMillion = (of: 'collector' | 'clickhouse') =>
    start[of].cpuS === null || end[of].cpuS === null
      ? null
      : (end[of].cpuS - start[of].cpuS) / (full.spans / 1e6);
  const perSecond = full.spans / full.seconds / SPANS_PER_BATCH / 2;
  const half = await measured(stage, { what: 'otlp', connections, seconds, perSecond });
  const straight = before ?? (await ceiling());
  return {
    spansPerS: full.spans / full.seconds,
    ceilingPerS: straight.spans / straight.seconds,
    collectorCpuS: perMillion('collector'),
    clickhouseCpuS: perMillion('clickhouse'),
    ackP50: half.ackP50,
    ackP99: half.ackP99,
    failed: full.failed + half.failed + straight.failed,
  };
}

/** One measurement on an empty table. Throws when ClickHouse has other rows than were acknowledged. */
async function measured(stage: Stage, what: Sending, emptyFirst = true): Promise<Sent> {
  if (emptyFirst) await empty(stage);
  const start = performance.now();
  const sent = await send(stage, what);
  if (what.what === 'otlp') {
    await stage.collector.ask({});
    sent.seconds = (performance.now() - start) / 1000;
  }
  const rows = await stage.store.query<{ n: number }>(`SELECT count() AS n FROM ${TABLE}`);
  const stored = rows[0]!.n;
  // A request that failed may or may not have been stored; without one there is no such doubt.
  if (stored !== sent.spans && !(sent.failed > 0 && stored > sent.spans))
    throw new Error(`${what.what}: ${sent.spans} spans were acknowledged, ClickHouse has ${stored}`);
  return sent;
}

const send = (stage: Stage, what: Sending): Promise<Sent> => stage.sender.ask<Sent>(what);

async function empty({ store }: Stage): Promise<void> {
  await store.command(`TRUNCATE TABLE ${TABLE}`);
  await store.command(`TRUNCATE TABLE ${TABLE}_trace_id_ts`);
}

function summary(
  rounds: readonly Round[],
  stage: Stage,
  transcoded: Transcoded,
): Pick<Measured, 'figures' | 'ratios'> {
  const middle = (key: keyof Round) => median(rounds.flatMap((round) => round[key] ?? []));
  return {
    figures: {
      spans_per_s: middle('spansPerS'),
      ceiling_spans_per_s: middle('ceilingPerS'),
      cpu_s_per_million_spans: { collector: middle('collectorCpuS'), clickhouse: middle('clickhouseCpuS') },
      ack_ms: { p50: middle('ackP50'), p99: middle('ackP99') },
      transcode_us_per_span: transcoded.microsPerSpan,
      transcode_by_objects_us_per_span: transcoded.objectsMicrosPerSpan,
      rss_mb: usage(stage.collector.pid).rssPeakMb,
      clickhouse_rss_mb: usage(stage.clickhouse.pid).rssPeakMb,
      failed_requests: rounds.reduce((sum, round) => sum + round.failed, 0),
    },
    ratios: {
      ingest_vs_ceiling: medianRatio(
        rounds.map((round) => round.spansPerS),
        rounds.map((round) => round.ceilingPerS),
      ),
      transcode_vs_objects: transcoded.ratio,
    },
  };
}
