import { join } from 'node:path';
import type { Bench, BenchOptions, Measured } from './harness/bench.ts';
import { type Child, canPin, startChild, usage } from './harness/child.ts';
import { median, medianRatio, quantile } from './harness/median.ts';
import type { Slowness } from './load/slow-sockets.ts';
import type { Offered, Offering } from './overload-sender.ts';

/**
 * What is left of the collector under more than it can do: several times its capacity, and a thousand senders that
 * never come to an end beside an honest one. References are the same collector without them, in turn.
 *
 * The collector has a core to itself, the sender the other one: capacity and overload are measured by the same sender.
 * ClickHouse would need a third; in its place is something that takes every insert and keeps nothing, so that what is
 * measured goes through the spool and out of it again.
 */
export const bench: Bench = {
  name: 'overload',
  summary: 'what the collector still does at five times its capacity, and beside a thousand slow sockets',
  flags: {
    factor: { help: 'offered load, in capacities', default: 5 },
    spans: { help: 'spans of a request under overload', default: 512 },
    connections: { help: 'connections of the sender under overload', default: 512 },
    sockets: { help: 'slow sockets', default: 1000 },
  },
  seconds: 10,
  run,
};

const COLLECTOR_CORE = 0;
const LOAD_CORE = 1;
const CAPACITY_CONNECTIONS = 16;
const WARM_UP_S = 5;
/** Of the honest sender: small requests and many, so that a hundredth of them is a number. */
const HONEST = { spansPerRequest: 50, isPacked: true, connections: 32 } as const;
/** Of what the collector can do with such requests. */
const HONEST_SHARE = 0.2;

interface Stage {
  url: string;
  collector: Child<{ url: string }>;
  sender: Child<unknown>;
  slow: Child<unknown>;
}

interface OverloadRound {
  capacity: number;
  goodput: number;
  /** Acknowledged requests for a second of the collector's processor: what others do on the machine is not in it. */
  capacityPerCpuS: number | null;
  goodputPerCpuS: number | null;
  /** Sent, in capacities. */
  sentFactor: number;
  refusedPerS: number;
  unsentPerS: number;
  ackP99: number | null;
}

interface SlowRound {
  alone: Offered;
  beside: Offered;
}

async function run(options: BenchOptions): Promise<Measured> {
  const stops: (() => Promise<unknown>)[] = [];
  try {
    const stage = await setUp(stops);
    const { rounds, seconds, flags, progress } = options;
    const spans = flags['spans']!;
    progress('warming up');
    await atCapacity(stage, spans, WARM_UP_S);
    const overload: OverloadRound[] = [];
    for (let round = 0; round < rounds; round++) {
      progress(`overload, round ${round + 1} of ${rounds}`);
      overload.push(await overloadRound(stage, options));
    }
    const honest = await atCapacity(stage, HONEST.spansPerRequest, WARM_UP_S);
    const requestsPerS = (HONEST_SHARE * honest.acknowledged) / honest.seconds;
    const slow: SlowRound[] = [];
    for (let round = 0; round < rounds; round++) {
      progress(`slow sockets, round ${round + 1} of ${rounds}`);
      slow.push(await slowRound(stage, options, requestsPerS, round));
    }
    const { cutOff } = await stage.slow.ask<{ cutOff: number }>({ url: stage.url, sockets: 0 });
    return {
      conditions: {
        rounds,
        seconds,
        factor: flags['factor']!,
        connections: flags['connections']!,
        slow_sockets: `${flags['sockets']}, a byte a second each, half in the head and half in the body`,
        requests: `${spans} spans with 20 attributes and one event each, gzip; beside slow sockets ${HONEST.spansPerRequest}`,
        cores: canPin ? 'the collector on one, what sends and takes inserts on the other' : 'shared',
        capacity: `as fast as ${CAPACITY_CONNECTIONS} connections are acknowledged`,
        honest_requests_per_s: Math.round(requestsPerS),
        clickhouse: 'replaced by one that takes every insert and keeps nothing',
      },
      figures: {
        ...overloadFigures(overload, spans),
        ...slowFigures(slow),
        slow_sockets_cut_off: cutOff,
        rss_mb: usage(stage.collector.pid).rssPeakMb,
      },
      ratios: {
        sent_vs_capacity: median(overload.map(({ sentFactor }) => sentFactor)),
        goodput_vs_capacity: medianRatio(
          overload.map(({ goodput }) => goodput),
          overload.map(({ capacity }) => capacity),
        ),
        goodput_per_cpu_s_vs_capacity: medianRatio(
          overload.map(({ goodputPerCpuS }) => goodputPerCpuS),
          overload.map(({ capacityPerCpuS }) => capacityPerCpuS),
        ),
        p99_beside_slow_vs_alone: medianRatio(
          slow.map(({ beside }) => beside.ackP99),
          slow.map(({ alone }) => alone.ackP99),
        ),
      },
    };
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function setUp(stops: (() => Promise<unknown>)[]): Promise<Stage> {
  const child = async <Ready>(script: string, core: number, settings: object = {}) => {
    const started = await startChild<Ready>(join(import.meta.dirname, script), { core, settings });
    stops.push(() => started.stop());
    return started;
  };
  const sink = await child<{ url: string }>('load/span-sink-process.ts', LOAD_CORE);
  const collector = await child<{ url: string }>('ingest/collector-process.ts', COLLECTOR_CORE, {
    clickhouseUrl: sink.ready.url,
  });
  const { url } = collector.ready;
  const sender = await child('overload-sender.ts', LOAD_CORE, {
    collectorUrl: url,
    collectorPid: collector.pid,
  });
  const slow = await child('load/slow-sockets.ts', LOAD_CORE);
  return { url, collector, sender, slow };
}

const atCapacity = (stage: Stage, spansPerRequest: number, seconds: number) =>
  offer(stage, { connections: CAPACITY_CONNECTIONS, seconds, spansPerRequest, isPacked: true });

async function overloadRound(stage: Stage, { seconds, flags }: BenchOptions): Promise<OverloadRound> {
  const full = await atCapacity(stage, flags['spans']!, seconds);
  const capacity = full.acknowledged / full.seconds;
  const over = await offer(stage, {
    connections: flags['connections']!,
    seconds,
    spansPerRequest: flags['spans']!,
    isPacked: true,
    requestsPerS: capacity * flags['factor']!,
  });
  return {
    capacity,
    capacityPerCpuS: perCpuS(full),
    goodputPerCpuS: perCpuS(over),
    goodput: over.acknowledged / over.seconds,
    sentFactor: over.sent / over.seconds / capacity,
    refusedPerS: over.refused / over.seconds,
    unsentPerS: over.unsent / over.seconds,
    ackP99: over.ackP99,
  };
}

const perCpuS = ({ acknowledged, cpuS }: Offered) => (cpuS === null ? null : acknowledged / cpuS);

async function slowRound(
  stage: Stage,
  { seconds, flags }: BenchOptions,
  requestsPerS: number,
  round: number,
): Promise<SlowRound> {
  const beside = async (sockets: number) => {
    await stage.slow.ask({ url: stage.url, sockets } satisfies Slowness);
    return await offer(stage, { ...HONEST, seconds, requestsPerS });
  };
  // In turn first and second: what grows with time must not look like what the sockets do.
  if (round % 2 === 0) return { alone: await beside(0), beside: await beside(flags['sockets']!) };
  return { beside: await beside(flags['sockets']!), alone: await beside(0) };
}

/** Sends when all that came before is out of the spool, so that the collector has its time for this alone. */
async function offer(stage: Stage, offering: Offering): Promise<Offered> {
  await stage.collector.ask({});
  return await stage.sender.ask<Offered>(offering);
}

function overloadFigures(rounds: readonly OverloadRound[], spans: number): Measured['figures'] {
  const all = (key: keyof OverloadRound) => rounds.flatMap((round) => round[key] ?? []);
  const spansPerS = (key: keyof OverloadRound) => (median(all(key)) ?? 0) * spans;
  return {
    capacity_spans_per_s: spansPerS('capacity'),
    goodput_spans_per_s: spansPerS('goodput'),
    goodput_vs_capacity: spread(rounds.map(({ goodput, capacity }) => goodput / capacity)),
    refused_requests_per_s: median(all('refusedPerS')),
    unsent_requests_per_s: median(all('unsentPerS')),
    overloaded_ack_p99_ms: median(all('ackP99')),
  };
}

function slowFigures(rounds: readonly SlowRound[]): Measured['figures'] {
  const p99 = (of: readonly Offered[]) => spread(of.flatMap(({ ackP99 }) => ackP99 ?? []));
  return {
    honest_ack_p50_ms: median(rounds.flatMap(({ alone }) => alone.ackP50 ?? [])),
    honest_ack_p99_ms: p99(rounds.map(({ alone }) => alone)),
    beside_slow_ack_p50_ms: median(rounds.flatMap(({ beside }) => beside.ackP50 ?? [])),
    beside_slow_ack_p99_ms: p99(rounds.map(({ beside }) => beside)),
  };
}

/** A median is worth what the rounds agree. */
const spread = (values: readonly number[]) => ({
  lowest: values.length === 0 ? null : Math.min(...values),
  lower_quartile: quantile(values, 0.25),
  median: median(values),
  upper_quartile: quantile(values, 0.75),
  highest: values.length === 0 ? null : Math.max(...values),
});
