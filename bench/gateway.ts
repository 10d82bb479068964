import { join } from 'node:path';
import type { Bench, BenchOptions, Figures, Measured } from './harness/bench.ts';
import { type Child, canPin, startChild, usage } from './harness/child.ts';
import { median, medianRatio, ratio } from './harness/median.ts';
import type { Load, LoadResult } from './load/load-generator.ts';
import { type Portkey, startPortkey } from './load/portkey.ts';
import type { Answer } from './load/surroundings-process.ts';

/**
 * What the gateway costs a caller, beside no gateway at all, the barest proxy Node allows, and Portkey.
 *
 *     core 0: load generator, fake provider, span sink          core 1: the gateway that has its turn
 *
 * In every round each target has its turn at each load, so that what disturbs the machine disturbs all of them.
 */
export const bench: Bench = {
  name: 'gateway',
  summary: 'requests/s and added latency, beside a bare proxy and Portkey',
  flags: {
    'open-streams': {
      help: 'streams that are open at a time when time to first token is measured',
      default: 1000,
    },
    'soak-requests': {
      help: 'requests over which the memory of ours must not grow (a million takes minutes)',
      default: 100_000,
    },
  },
  seconds: 2,
  run,
};

const LOAD_CORE = 0;
const GATEWAY_CORE = 1;
const BUSY_CONNECTIONS = 32;
/** Enough that at half of saturation a request hardly ever waits for one. */
const PACED_CONNECTIONS = 128;
const CHUNKS = 64;
const CHUNK_MS = 20;
const STREAM_S = (CHUNKS * CHUNK_MS) / 1000;
/** Some of every proxy's full garbage collections fall into each round: with 2 s it was luck whether there was one. */
const pacedS = (seconds: number) => Math.max(seconds, 6);
const streamS = (seconds: number) => Math.max(seconds, 4 * STREAM_S);
const WARM_UP_S = 3;
const SOAK_PART_S = 5;

interface Target {
  name: 'direct' | 'bare' | 'ours' | 'portkey';
  url: string;
  headers: Record<string, string>;
}

/** Where the provider and the collector are. */
interface Around {
  providerUrl: string;
  collectorUrl: string;
}

type Generator = (load: Load) => Promise<LoadResult>;
type Kind = 'one' | 'busy' | 'paced' | 'outage' | 'stream';
/** By target and kind of load, a result a round. */
type Results = Map<string, LoadResult[]>;

async function run(options: BenchOptions): Promise<Measured> {
  const { progress } = options;
  const stops: (() => Promise<void>)[] = [];
  const start = async <Ready>(script: string, core: number, settings = {}): Promise<Child<Ready>> => {
    const child = await startChild<Ready>(join(import.meta.dirname, script), { core, settings });
    stops.push(child.stop);
    return child;
  };
  try {
    const plan = { chunks: CHUNKS, chunkMs: CHUNK_MS };
    const around = await start<Around>('load/surroundings-process.ts', LOAD_CORE, plan);
    const { providerUrl, collectorUrl } = around.ready;
    const bare = await start<{ url: string }>('bare-proxy.ts', GATEWAY_CORE, { providerUrl });
    const ours = await start<{ url: string; secret: string }>('load/gateway-process.ts', GATEWAY_CORE, {
      providerUrl,
      collectorUrl,
    });
    progress('installing Portkey into a temporary folder');
    const portkey = await startPortkey(GATEWAY_CORE).catch((error: Error) => error.message);
    if (typeof portkey !== 'string') stops.push(portkey.stop);

    const targets = targetsOf(providerUrl, bare.ready, ours.ready, portkey);
    const generator: Generator = async (load) => (await around.ask<Answer>({ put: load })).put;
    const refusal = await warmUp(generator, targets, progress);
    const usable = targets.filter(({ name }) => name !== refusal?.name);
    const away = async (isAway: boolean) => {
      await around.ask({ isCollectorAway: isAway });
    };
    const results = await measure(generator, usable, away, options);
    const memory = await soak(generator, usable.find(({ name }) => name === 'ours')!, ours.pid, options);
    const { exports } = await around.ask<Answer>({});
    const spans = await ours.ask<{ exported: number; dropped: number }>({});
    return {
      conditions: {
        rounds: options.rounds,
        seconds: options.seconds,
        pinned: canPin ? 'load generator, provider and span sink on one core, gateways on the other' : false,
        ours: 'virtual key, a budget and a rate limit, run and agent headers, content captured, every span on disk before the last byte of its answer and from there to a collector that keeps nothing',
        span_exports: exports,
        spans_exported: spans.exported,
        spans_dropped: spans.dropped,
        portkey: typeof portkey === 'string' ? `not measured: ${portkey}` : (refusal?.why ?? portkey.version),
        half_load: `${pacedS(options.seconds)} s a round, for direct, bare and ours the same rate: half of the lower of what bare and ours reached in that round`,
        streams: `${options.flags['open-streams']} open, ${CHUNKS} chunks ${CHUNK_MS} ms apart, for ${streamS(options.seconds)} s a round`,
        added: 'above direct in the same round; ratios of added times are of their medians',
      },
      ...summary(results, usage(ours.pid).rssPeakMb, memory),
    };
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

function targetsOf(
  providerUrl: string,
  bare: { url: string },
  ours: { url: string; secret: string },
  portkey: Portkey | string,
): Target[] {
  const authorization = 'Bearer sk-bench';
  const targets: Target[] = [
    { name: 'direct', url: providerUrl, headers: { authorization } },
    { name: 'bare', url: bare.url, headers: { authorization } },
    { name: 'ours', url: ours.url, headers: { authorization: `Bearer ${ours.secret}` } },
  ];
  if (typeof portkey !== 'string') {
    const headers = { 'x-portkey-provider': 'openai', 'x-portkey-custom-host': `${providerUrl}/v1` };
    targets.push({ name: 'portkey', url: portkey.url, headers: { authorization, ...headers } });
  }
  return targets;
}

/** Lets every target get warm. Gives Portkey's refusal, if it refuses; any other target that fails is an error. */
async function warmUp(
  generator: Generator,
  targets: readonly Target[],
  progress: (text: string) => void,
): Promise<{ name: string; why: string } | undefined> {
  let refusal: { name: string; why: string } | undefined;
  for (const target of targets) {
    progress(`warming up ${target.name}`);
    const { answered, failed } = await generator(
      load(target, { connections: BUSY_CONNECTIONS, seconds: WARM_UP_S }),
    );
    if (answered > 0 && failed === 0) continue;
    const why = `not measured: ${failed} of ${answered + failed} requests failed while warming up`;
    if (target.name !== 'portkey') throw new Error(`${target.name}: ${why}`);
    refusal = { name: target.name, why };
  }
  return refusal;
}

async function measure(
  generator: Generator,
  targets: readonly Target[],
  away: (isAway: boolean) => Promise<void>,
  { rounds, seconds, flags, progress }: BenchOptions,
): Promise<Results> {
  const results: Results = new Map();
  const put = async (target: Target, kind: Kind, what: Partial<Load> & { connections: number }) => {
    const result = await generator(load(target, { seconds, ...what }));
    const of = `${target.name} ${kind}`;
    results.set(of, [...(results.get(of) ?? []), result]);
    return result.rps;
  };
  const openStreams = flags['open-streams']!;
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`);
    // Another one begins each round: what comes first after a pause has it easier.
    const order = targets.map((_, i) => targets[(i + round) % targets.length]!);
    for (const target of order) await put(target, 'one', { connections: 1 });
    const reached = new Map<string, number>();
    for (const target of order)
      reached.set(target.name, await put(target, 'busy', { connections: BUSY_CONNECTIONS }));
    const perSecond = Math.min(reached.get('bare')!, reached.get('ours')!) / 2;
    const paced = { connections: PACED_CONNECTIONS, perSecond, seconds: pacedS(seconds) };
    const three = order.filter(({ name }) => name !== 'portkey');
    for (const target of three) await put(target, 'paced', paced);
    await away(true);
    const ours = targets.find(({ name }) => name === 'ours')!;
    await put(ours, 'outage', paced);
    await away(false);
    for (const target of three)
      await put(target, 'stream', {
        connections: Math.ceil(openStreams * 1.5),
        // Long enough that for most of it so many are open.
        seconds: streamS(seconds),
        perSecond: openStreams / STREAM_S,
        stream: true,
      });
  }
  return results;
}

/** Resident memory of ours after a tenth of many requests, and after all of them. */
async function soak(
  generator: Generator,
  target: Target,
  pid: number,
  { flags, progress }: BenchOptions,
): Promise<{ firstMb: number | null; lastMb: number | null; requests: number }> {
  const wanted = flags['soak-requests']!;
  progress(`memory over ${wanted} requests`);
  let requests = 0;
  let firstMb: number | null = null;
  while (requests < wanted) {
    const { answered, failed } = await generator(
      load(target, { connections: BUSY_CONNECTIONS, seconds: SOAK_PART_S }),
    );
    if (failed > 0 || answered === 0) throw new Error(`${failed} requests failed while memory was measured`);
    requests += answered;
    if (requests >= wanted / 10) firstMb ??= usage(pid).rssMb;
  }
  return { firstMb, lastMb: usage(pid).rssMb, requests };
}

const load = ({ url, headers }: Target, what: Omit<Load, 'url' | 'path' | 'headers'>): Load => ({
  url,
  path: '/v1/chat/completions',
  headers,
  ...what,
});

function summary(
  results: Results,
  rssMb: number | null,
  memory: Awaited<ReturnType<typeof soak>>,
): Pick<Measured, 'figures' | 'ratios'> {
  const of = (name: string, kind: Kind, key: keyof LoadResult) =>
    (results.get(`${name} ${kind}`) ?? []).map((result) => result[key]);
  const middle = (name: string, kind: Kind, key: keyof LoadResult) =>
    median(of(name, kind, key).flatMap((value) => value ?? []));
  /** Median over the rounds of what `name` adds to direct. */
  const added = (name: string, kind: Kind, key: keyof LoadResult) => {
    const direct = of('direct', kind, key);
    return median(
      of(name, kind, key).flatMap((value, i) => (value === null ? [] : value - (direct[i] ?? Number.NaN))),
    );
  };
  const vsBare = (kind: Kind, key: keyof LoadResult) =>
    ratio(added('ours', kind, key), added('bare', kind, key));
  const addedMs = (name: string): Figures => ({
    p50: added(name, 'paced', 'p50'),
    p99: added(name, 'paced', 'p99'),
    ttft_p50: added(name, 'stream', 'ttftP50'),
    ttft_p99: added(name, 'stream', 'ttftP99'),
  });
  const latency = (name: string, kind: Kind): Figures => ({
    rps: middle(name, kind, 'rps'),
    p50_ms: middle(name, kind, 'p50'),
    p99_ms: middle(name, kind, 'p99'),
    failed: of(name, kind, 'failed').reduce<number>((sum, failed) => sum + (failed ?? 0), 0),
  });
  const targets = ['direct', 'bare', 'ours', 'portkey'];
  return {
    figures: {
      connections_1: Object.fromEntries(targets.map((name) => [name, latency(name, 'one')])),
      connections_32: Object.fromEntries(targets.map((name) => [name, latency(name, 'busy')])),
      half_load: Object.fromEntries(['direct', 'bare', 'ours'].map((name) => [name, latency(name, 'paced')])),
      added_ms: { bare: addedMs('bare'), ours: addedMs('ours') },
      streams_failed: Object.fromEntries(
        ['direct', 'bare', 'ours'].map((name) => [name, latency(name, 'stream')['failed']!]),
      ),
      outage: { ours: latency('ours', 'outage') },
      rss_mb: rssMb,
      rss_over_requests: { first_mb: memory.firstMb, last_mb: memory.lastMb, requests: memory.requests },
    },
    ratios: {
      rps_vs_bare_proxy: medianRatio(of('ours', 'busy', 'rps'), of('bare', 'busy', 'rps')),
      rps_vs_portkey: medianRatio(of('ours', 'busy', 'rps'), of('portkey', 'busy', 'rps')),
      added_p50_vs_bare: vsBare('paced', 'p50'),
      added_p99_vs_bare: vsBare('paced', 'p99'),
      added_ttft_p50_vs_bare: vsBare('stream', 'ttftP50'),
      added_ttft_p99_vs_bare: vsBare('stream', 'ttftP99'),
      p99_outage_vs_normal: medianRatio(of('ours', 'outage', 'p99'), of('ours', 'paced', 'p99')),
      rss_growth: ratio(memory.lastMb, memory.firstMb),
    },
  };
}
