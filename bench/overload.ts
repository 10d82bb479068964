import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pino from 'pino';
import { systemClock } from '../src/clock.ts';
import { openStore } from '../src/store/client.ts';
import { startEmbedded } from '../src/store/embedded.ts';
import { migrate } from '../src/store/migrate.ts';
import type { Bench, BenchOptions, Measured } from './harness/bench.ts';
import { type Child, canPin, startChild, usage } from './harness/child.ts';
import { median, medianRatio } from './harness/median.ts';
import type { SenderSettings, Sending, Sent } from './ingest/sender.ts';
import type { Slowness } from './load/slow-sockets.ts';

/**
 * What is left of the collector under more than it can do: several times its capacity, and a thousand senders that
 * never come to an end beside an honest one. References are the same collector without them, in turn.
 */
export const bench: Bench = {
  name: 'overload',
  summary: 'what the collector still does at five times its capacity, and beside a thousand slow sockets',
  flags: {
    factor: { help: 'offered load, in capacities', default: 5 },
    connections: { help: 'connections of the sender under overload', default: 128 },
    sockets: { help: 'slow sockets', default: 1000 },
  },
  seconds: 5,
  run,
};

const SPANS_PER_BATCH = 512;
const CAPACITY_CONNECTIONS = 16;
/** Of capacity, for the sender beside slow ones. */
const HONEST_SHARE = 0.25;
const WARM_UP_S = 3;
const CLICKHOUSE_BYTES_MAX = 4_000_000_000;
const DRAIN_POLL_MS = 200;

interface Round {
  capacity: number;
  goodput: number;
  /** Acknowledged spans for a second of the collector's processor, at capacity and overloaded. */
  capacityPerCpuS: number | null;
  goodputPerCpuS: number | null;
  offered: number;
  ackP99: number | null;
  honestP99: number | null;
  besideSlowP99: number | null;
  cutOff: number;
}

interface Stage {
  url: string;
  collector: Child<{ url: string }>;
  sender: Child<unknown>;
  slow: Child<unknown>;
}

async function run(options: BenchOptions): Promise<Measured> {
  const stops: (() => Promise<unknown>)[] = [];
  try {
    const stage = await setUp(stops);
    options.progress('warming up');
    await send(stage, { what: 'otlp', connections: CAPACITY_CONNECTIONS, seconds: WARM_UP_S });
    const rounds: Round[] = [];
    for (let round = 0; round < options.rounds; round++) {
      options.progress(`round ${round + 1} of ${options.rounds}`);
      rounds.push(await playRound(stage, options, round));
    }
    return {
      conditions: {
        rounds: options.rounds,
        seconds: options.seconds,
        factor: options.flags['factor']!,
        connections: options.flags['connections']!,
        slow_sockets: `${options.flags['sockets']}, a byte a second each, half in the head and half in the body`,
        requests: `${SPANS_PER_BATCH} spans with 20 attributes and one event each`,
        cores: canPin ? 'the collector is held to one' : 'shared',
        capacity: `as fast as ${CAPACITY_CONNECTIONS} connections are acknowledged`,
        honest_sender: `${HONEST_SHARE} of capacity`,
      },
      ...summary(rounds, stage),
    };
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function setUp(stops: (() => Promise<unknown>)[]): Promise<Stage> {
  const dataDir = await mkdtemp(join(tmpdir(), 'loopscope-bench-overload-'));
  stops.push(() => rm(dataDir, { recursive: true, force: true }));
  const clock = systemClock();
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
  await migrate(store, clock);
  await store.close();
  const child = async <Ready>(script: string, core: number | undefined, settings: object) => {
    const started = await startChild<Ready>(join(import.meta.dirname, script), {
      ...(core !== undefined && { core }),
      settings,
    });
    stops.push(() => started.stop());
    return started;
  };
  const collector = await child<{ url: string }>('ingest/collector-process.ts', 0, {
    clickhouseUrl: clickhouse.url,
  });
  const settings: SenderSettings = {
    collectorUrl: collector.ready.url,
    clickhouseUrl: clickhouse.url,
    spansPerBatch: SPANS_PER_BATCH,
    rowsPerBlock: 0,
    table: 'loopscope.otel_traces',
  };
  const sender = await child('overload-sender.ts', undefined, settings);
  const slow = await child('load/slow-sockets.ts', undefined, {});
  return { url: collector.ready.url, collector, sender, slow };
}

async function playRound(stage: Stage, { seconds, flags }: BenchOptions, round: number): Promise<Round> {
  const atCapacity = { what: 'otlp', connections: CAPACITY_CONNECTIONS, seconds } as const;
  const [full, capacityPerCpuS] = await perCpuSecond(stage, atCapacity);
  const capacity = full.spans / full.seconds;
  const perSecond = (capacity / SPANS_PER_BATCH) * flags['factor']!;
  const tooMuch = { what: 'otlp', connections: flags['connections']!, seconds, perSecond } as const;
  const [over, goodputPerCpuS] = await perCpuSecond(stage, tooMuch);

  const honest = () =>
    send(stage, {
      what: 'otlp',
      connections: CAPACITY_CONNECTIONS,
      seconds,
      perSecond: (capacity / SPANS_PER_BATCH) * HONEST_SHARE,
    });
  const slow = (sockets: number) =>
    stage.slow.ask<{ cutOff: number }>({ url: stage.url, sockets } satisfies Slowness);
  const alone = round % 2 === 0 ? await honest() : undefined;
  await slow(flags['sockets']!);
  const beside = await honest();
  const { cutOff } = await slow(0);
  return {
    capacity,
    capacityPerCpuS,
    goodputPerCpuS,
    goodput: over.spans / over.seconds,
    offered: (over.spans + over.failed * SPANS_PER_BATCH) / over.seconds,
    ackP99: over.ackP99,
    honestP99: (alone ?? (await honest())).ackP99,
    besideSlowP99: beside.ackP99,
    cutOff,
  };
}

/** What was sent, and how much of it was acknowledged for a second of the collector's processor. */
async function perCpuSecond(stage: Stage, what: Sending): Promise<[Sent, number | null]> {
  await drained(stage);
  const before = usage(stage.collector.pid).cpuS;
  const sent = await send(stage, what);
  const after = usage(stage.collector.pid).cpuS;
  return [sent, before === null || after === null ? null : sent.spans / (after - before)];
}

/** Sends when all that came before is in ClickHouse, so that the collector has its time for this alone. */
async function send(stage: Stage, what: Sending): Promise<Sent> {
  await drained(stage);
  return await stage.sender.ask<Sent>(what);
}

async function drained(stage: Stage): Promise<void> {
  for (;;) {
    const figures = await (await fetch(`${stage.url}/metrics`)).text();
    if (/^loopscope_collector_spool_records 0$/m.test(figures)) return;
    await delay(DRAIN_POLL_MS);
  }
}

function summary(rounds: readonly Round[], stage: Stage): Pick<Measured, 'figures' | 'ratios'> {
  const all = (key: keyof Round) => rounds.flatMap((round) => round[key] ?? []);
  return {
    figures: {
      capacity_spans_per_s: median(all('capacity')),
      offered_spans_per_s: median(all('offered')),
      goodput_spans_per_s: median(all('goodput')),
      ack_p99_ms: {
        overloaded: median(all('ackP99')),
        honest: median(all('honestP99')),
        honest_beside_slow: median(all('besideSlowP99')),
      },
      slow_sockets_cut_off: rounds.at(-1)?.cutOff ?? 0,
      rss_mb: usage(stage.collector.pid).rssPeakMb,
    },
    ratios: {
      goodput_per_cpu_s_vs_capacity: medianRatio(all('goodputPerCpuS'), all('capacityPerCpuS')),
      goodput_vs_capacity: medianRatio(all('goodput'), all('capacity')),
      p99_beside_slow_vs_alone: medianRatio(all('besideSlowP99'), all('honestP99')),
    },
  };
}
