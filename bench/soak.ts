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
import { ratio } from './harness/median.ts';
import type { NumberedSending, NumberedSent, NumberedSettings } from './ingest/numbered-sender.ts';
import { type RssSamples, sampleRss } from './ingest/rss.ts';

/**
 * The collector's memory over time: at a steady rate, and while ClickHouse is away until the spool is full.
 *
 *   steady ─► ClickHouse killed ─► as fast as it goes, until the spool refuses ─► ClickHouse back, steady again ─► empty
 *
 * At the end ClickHouse has every span that was acknowledged once, or the run fails.
 */
export const bench: Bench = {
  name: 'soak',
  summary: "the collector's memory at a steady rate, and while ClickHouse is away and the spool fills",
  flags: {
    minutes: { help: 'of steady load before the outage', default: 10 },
    spans: { help: 'spans a request', default: 512 },
    connections: { help: 'connections of the sender', default: 16 },
    'spool-mb': { help: 'what the spool holds (bytes_max), in MB of 2^20', default: 2048 },
  },
  seconds: 10,
  run,
};

const TABLE = 'loopscope.otel_traces';
const CLICKHOUSE_BYTES_MAX = 4_000_000_000;
/** The steady rate, of what was taken and stored at full speed. */
const STEADY_SHARE = 0.5;
/** The spool is full when nothing is taken for so long. */
const FILL_PART_S = 5;
const FILL_S_MAX = 1_800;
/** For what was refused last to be taken. */
const REPEAT_S_MAX = 300;
/** With the oldest unsent this young the outage is made up for. */
const CAUGHT_UP_S = 5;
const CATCH_UP_S_MAX = 900;
/** While it catches up the spool is looked at this often. */
const LOOK_S = 2;
const LOOKS_PER_WORD = 5;
/** A child has to answer before its parent thinks that it hangs. */
const STEADY_PART_S = 60;
const COUNT_MS_MAX = 120_000;

interface Stage {
  dataDir: string;
  store: Store;
  clickhouse: Embedded;
  collector: Child<{ url: string }>;
  sender: Child<unknown>;
  rss: RssSamples;
  spans: number;
}

type Stop = () => unknown;

async function run(options: BenchOptions): Promise<Measured> {
  const stops: Stop[] = [];
  const { progress, seconds, flags } = options;
  try {
    const stage = await setUp(flags, stops);
    const { spans } = stage;
    progress('warming up, and how much goes through');
    await send(stage, { seconds });
    const perSecond = STEADY_SHARE * (await capacity(stage, seconds));
    progress(`${flags['minutes']} minutes at ${Math.round(perSecond * spans)} spans/s`);
    const steady = await holdSteady(stage, 60 * flags['minutes']!, perSecond);
    progress('ClickHouse is killed, the spool fills');
    const outage = await fillSpool(stage);
    progress(
      `full: ${outage.spool_records} requests in ${Math.round(outage.spool_mb)} MB; ClickHouse comes back`,
    );
    const catchUp = await makeUp(stage, perSecond, outage.spool_records, progress);
    progress('counting');
    const stored = await requireOnce(stage);
    const lowest = Object.values(steady.rss_lowest_mb);
    return {
      conditions: {
        minutes: flags['minutes']!,
        spans: `20 attributes and one event each, ${spans} a request`,
        connections: flags['connections']!,
        steady: `${STEADY_SHARE} of the rate that goes through at full speed, measured over ${seconds} s`,
        outage:
          'SIGKILL; the sender goes on at full speed until the spool refuses, and repeats what was refused',
        catch_up: `at the steady rate, until the oldest unsent is younger than ${CAUGHT_UP_S} s`,
        counted: 'ClickHouse has every acknowledged span once',
        cores: 'shared by sender, collector and ClickHouse',
      },
      figures: {
        spans: stored,
        steady,
        outage,
        catch_up: catchUp,
        rss_peak_mb: usage(stage.collector.pid).rssPeakMb,
      },
      ratios: {
        rss_lowest_last_vs_first_fifth: ratio(lowest.at(-1) ?? null, lowest[0] ?? null),
      },
    };
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function setUp(flags: BenchOptions['flags'], stops: Stop[]): Promise<Stage> {
  const dataDir = await mkdtemp(join(tmpdir(), 'loopscope-bench-soak-'));
  stops.push(() => rm(dataDir, { recursive: true, force: true }));
  const clickhouse = await startClickhouse(dataDir);
  const store = openStore({ url: clickhouse.url, requestTimeoutMs: COUNT_MS_MAX });
  stops.push(() => store.close());
  await migrate(store, systemClock());
  const collector = await startChild<{ url: string }>(
    join(import.meta.dirname, 'ingest/collector-process.ts'),
    { settings: { clickhouseUrl: clickhouse.url, spoolBytesMax: flags['spool-mb']! * 2 ** 20 } },
  );
  stops.push(() => collector.stop());
  const spans = flags['spans']!;
  const settings: NumberedSettings = {
    collectorUrl: collector.ready.url,
    spansPerRequest: spans,
    connections: flags['connections']!,
  };
  const sender = await startChild(join(import.meta.dirname, 'ingest/numbered-sender.ts'), { settings });
  stops.push(() => sender.stop());
  const rss = sampleRss(collector.pid);
  stops.push(() => rss.stop());
  const stage = { dataDir, store, clickhouse, collector, sender, rss, spans };
  stops.push(() => stage.clickhouse.close());
  return stage;
}

/** On the ports of one that was there before, for its senders to find. */
const startClickhouse = (dataDir: string, before?: Embedded): Promise<Embedded> =>
  startEmbedded({
    dataDir,
    httpPort: before ? Number(new URL(before.url).port) : 0,
    nativePort: before?.nativePort ?? 0,
    memoryBytesMax: CLICKHOUSE_BYTES_MAX,
    clock: systemClock(),
    log: pino({ level: 'fatal' }, pino.destination(2)),
  });

const send = ({ sender }: Stage, sending: NumberedSending): Promise<NumberedSent> =>
  sender.ask<NumberedSent>(sending);

/** Requests a second, from the first until ClickHouse has the last. */
async function capacity(stage: Stage, seconds: number): Promise<number> {
  await stage.collector.ask({});
  const start = performance.now();
  const { acknowledged } = await send(stage, { seconds });
  await stage.collector.ask({});
  return acknowledged / ((performance.now() - start) / 1000);
}

async function holdSteady(stage: Stage, seconds: number, perSecond: number) {
  stage.rss.take();
  let [acknowledged, refused] = [0, 0];
  const start = performance.now();
  const left = () => seconds - (performance.now() - start) / 1000;
  while (left() > 0) {
    const sent = await send(stage, { seconds: Math.min(STEADY_PART_S, left()), perSecond });
    acknowledged += sent.acknowledged;
    refused += sent.refused;
  }
  const rss = stage.rss.take();
  const { oldestUnsentS } = await spoolOf(stage);
  return {
    spans_per_s: (acknowledged * stage.spans) / seconds,
    refused_requests: refused,
    oldest_unsent_s: oldestUnsentS,
    rss_lowest_mb: Object.fromEntries(rss.lowestMb.map((mb, i) => [`fifth_${i + 1}`, mb])),
    rss_peak_mb: rss.peakMb,
    rss_mb_per_minute: rss.mbPerMinute,
    memory_mb: await memoryOf(stage),
  };
}

async function fillSpool(stage: Stage) {
  await stage.collector.ask({});
  stage.rss.take();
  process.kill(stage.clickhouse.pid, 'SIGKILL');
  await stage.clickhouse.close(); // or it would be started again
  let [acknowledged, seconds, isFull] = [0, 0, false];
  while (!isFull) {
    if (seconds > FILL_S_MAX) throw new Error(`the spool was not full after ${FILL_S_MAX} s`);
    const sent = await send(stage, { seconds: FILL_PART_S });
    acknowledged += sent.acknowledged;
    seconds += sent.seconds;
    isFull = sent.acknowledged === 0 && sent.refused > 0;
  }
  const rss = stage.rss.take();
  const spool = await spoolOf(stage);
  return {
    seconds,
    spans_per_s: (acknowledged * stage.spans) / seconds,
    spool_mb: spool.bytes / 1e6,
    spool_records: spool.records,
    spool_bytes_per_span: spool.bytes / (spool.records * stage.spans),
    oldest_unsent_s: spool.oldestUnsentS,
    rss_peak_mb: rss.peakMb,
    memory_mb: await memoryOf(stage),
  };
}

/** ClickHouse is back, and the steady load comes in beside what waits. */
async function makeUp(stage: Stage, perSecond: number, waiting: number, progress: (text: string) => void) {
  stage.clickhouse = await startClickhouse(stage.dataDir, stage.clickhouse);
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  let [acknowledged, refused, oldestMaxS] = [0, 0, 0];
  let spool = await spoolOf(stage);
  for (let looks = 0; spool.oldestUnsentS >= CAUGHT_UP_S; looks++) {
    if (seconds() > CATCH_UP_S_MAX) break;
    if (looks % LOOKS_PER_WORD === 0)
      progress(
        `${Math.round(spool.bytes / 1e6)} MB wait, the oldest for ${Math.round(spool.oldestUnsentS)} s`,
      );
    const sent = await send(stage, { seconds: LOOK_S, perSecond });
    acknowledged += sent.acknowledged;
    refused += sent.refused;
    oldestMaxS = Math.max(oldestMaxS, spool.oldestUnsentS);
    spool = await spoolOf(stage);
  }
  const isCaughtUp = spool.oldestUnsentS < CAUGHT_UP_S;
  const tookS = seconds();
  const { waiting: unanswered } = await send(stage, { seconds: REPEAT_S_MAX, nothingNew: true });
  if (unanswered > 0) throw new Error(`${unanswered} requests were never acknowledged`);
  await stage.collector.ask({});
  return {
    seconds: isCaughtUp ? tookS : null,
    spans_per_s: isCaughtUp ? ((waiting + acknowledged) * stage.spans) / tookS : null,
    new_spans_per_s: (acknowledged * stage.spans) / tookS,
    refused_requests: refused,
    oldest_unsent_max_s: oldestMaxS,
    rss_peak_mb: stage.rss.take().peakMb,
    memory_mb: await memoryOf(stage),
  };
}

/** The number of spans that ClickHouse has. Throws where one is missing or there twice. */
async function requireOnce(stage: Stage): Promise<number> {
  const { lastSpan } = await send(stage, { seconds: 1, nothingNew: true });
  const number = 'reinterpretAsUInt64(reverse(unhex(SpanId)))';
  const [found] = await stage.store.query<{ n: number; ids: number; least: number; most: number }>(
    `SELECT count() AS n, uniqExact(${number}) AS ids, min(${number}) AS least, max(${number}) AS most FROM ${TABLE}`,
  );
  const { n, ids, least, most } = found!;
  if (n !== lastSpan || ids !== lastSpan || least !== 1 || most !== lastSpan)
    throw new Error(
      `1 to ${lastSpan} were acknowledged; ClickHouse has ${n} spans with ${ids} ids from ${least} to ${most}`,
    );
  return n;
}

async function spoolOf({ collector }: Stage) {
  const text = await (await fetch(`${collector.ready.url}/metrics`)).text();
  const figure = (name: string) =>
    Number(new RegExp(`^loopscope_collector_spool_${name} (.+)$`, 'm').exec(text)![1]);
  return {
    bytes: figure('bytes'),
    records: figure('records'),
    oldestUnsentS: figure('oldest_unsent_seconds'),
  };
}

async function memoryOf({ collector }: Stage) {
  const { heapUsed, external, arrayBuffers } = await collector.ask<NodeJS.MemoryUsage>({ what: 'memory' });
  return {
    heap_used: heapUsed / 2 ** 20,
    external: external / 2 ** 20,
    array_buffers: arrayBuffers / 2 ** 20,
  };
}
