import cluster from 'node:cluster';
import { type AddressInfo, createServer } from 'node:net';
import { extname, join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { LoopscopeError } from '../errors.ts';
import { familyText } from '../gateway/metric-family.ts';
import { portInUse } from '../gateway/server.ts';
import type { Registry } from '../registry/load.ts';
import { sentConfig } from './messages.ts';
import { labelWorkers } from './metrics.ts';
import { WorkerProcess } from './process.ts';

/**
 * The gateway in several processes that share its port, for machines with several cores.
 *
 * - Each takes connections from the port by itself; on Linux the kernel shares them out. Were they handed out by this
 *   process, as Node does by default, one that is on its way to a worker as that dies would hang for ever.
 * - Each has a spool of its own, `<data_dir>/gateway/worker-<n>/spool`. One that dies is replaced, with growing pauses,
 *   and its successor delivers what it left; one that has died too often in too short a time ends the whole.
 * - They end with this process, however that ends.
 */
export interface GatewayWorkersOptions {
  /** Complete: with the addresses of the collector and of ClickHouse. */
  config: Config;
  registry: Registry;
  clock: Clock;
  log: Logger;
}

export interface GatewayWorkers {
  url: string;
  /** Takes new settings over, as a gateway does, of those that can change while it runs. Throws `config_invalid` for limits that workers cannot share. */
  reload(config: Config): void;
  setRegistry(registry: Registry): void;
  flush(): Promise<void>;
  /** Rejects with `worker_died` when a worker keeps dying. */
  failed: Promise<never>;
  /** Lets every worker drain and waits for their ends. */
  close(): Promise<void>;
}

const DEATHS_MAX = 5;
const DEATHS_WINDOW_MS = 60_000;
const RESTART_DELAY_MS = 100;
/** A worker that is later with its metrics is left out of them. */
const METRICS_MS_MAX = 2_000;
/** Beyond the time that its calls have: its last spans, and its end. */
const CLOSE_GRACE_MS = 10_000;

/** Starts `gateway.workers` processes. Throws what keeps them from starting. */
export async function startGatewayWorkers(options: GatewayWorkersOptions): Promise<GatewayWorkers> {
  const { clock, log } = options;
  const { workers, host, unready_s, drain_s } = options.config.gateway;
  let { registry } = options;
  const check = (limits: Config['limits'], { loops }: Registry) => {
    if (!options.config.redis_url) refuseLimits(workers, limits, loops);
  };
  check(options.config.limits, registry);
  if (!options.config.redis_url)
    log.warn(
      'without redis_url each worker knows the Idempotency-Keys and cached answers of its own calls only',
    );
  const port = await claimPort(host, options.config.gateway.port);
  const onPort = (config: Config) => sentConfig({ ...config, gateway: { ...config.gateway, port } });
  let config = onPort(options.config);

  cluster.schedulingPolicy = cluster.SCHED_NONE; // before the setup, which is what reads it
  cluster.setupPrimary({
    exec: join(import.meta.dirname, `worker${extname(import.meta.filename)}`),
    args: [],
    serialization: 'advanced',
  });

  const live = new Map<number, WorkerProcess>();
  const deathsByCause = new Map<string, number>();
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {}); // whoever waits on it hears of it; nobody has to
  const stopping = new AbortController();

  const start = (worker: number): WorkerProcess => {
    const started = new WorkerProcess(worker, { config, loops: registry.loops }, metrics);
    live.set(worker, started);
    return started;
  };
  /** Replaces a worker whenever it has died. */
  const keep = async (worker: number): Promise<void> => {
    const deaths: number[] = [];
    for (;;) {
      const cause = await live.get(worker)!.ended;
      live.delete(worker);
      if (stopping.signal.aborted) return;
      deathsByCause.set(cause, (deathsByCause.get(cause) ?? 0) + 1);
      deaths.push(clock.now());
      while (deaths[0]! <= clock.now() - DEATHS_WINDOW_MS) deaths.shift();
      log.error({ worker, cause }, 'a gateway worker died');
      if (deaths.length > DEATHS_MAX) {
        failure.reject(keepsDying(worker));
        return;
      }
      await clock.sleep(RESTART_DELAY_MS * 2 ** (deaths.length - 1), stopping.signal).catch(() => {}); // closing
      if (stopping.signal.aborted) return;
      start(worker).listening.then(
        () => log.warn({ worker }, 'a gateway worker is up again'),
        (error: Error) => log.error({ worker, reason: error.message }, 'a gateway worker did not start'),
      );
    }
  };

  async function metrics(): Promise<string> {
    const enough = new AbortController();
    const late = clock.sleep(METRICS_MS_MAX, enough.signal).then(
      () => undefined,
      () => undefined,
    );
    const answers = await Promise.all(
      [...live.values()].map(async (process) => ({
        worker: process.worker,
        text: await Promise.race([process.metrics(), late]),
      })),
    );
    enough.abort();
    const told = answers.flatMap(({ worker, text }) => (text === undefined ? [] : [{ worker, text }]));
    const own = familyText({
      name: 'loopscope_gateway_worker_deaths_total',
      type: 'counter',
      help: 'Workers that died and were replaced, by the signal that killed them',
      samples: [...deathsByCause].map(([cause, value]) => ({ labels: { cause }, value })),
    });
    return labelWorkers(told) + own;
  }

  let closing: Promise<void> | undefined;
  const kept: Promise<void>[] = [];
  const close = async () => {
    stopping.abort();
    const enough = new AbortController();
    for (const process of live.values()) process.close();
    const waitMs = (unready_s + drain_s) * 1000 + CLOSE_GRACE_MS;
    const ends = [...live.values()].map(({ ended }) => ended);
    const killed = clock.sleep(waitMs, enough.signal).then(
      () => {
        for (const process of live.values()) process.kill();
      },
      () => {}, // they ended in time
    );
    await Promise.all(ends);
    enough.abort();
    await Promise.all([killed, ...kept]);
  };

  let url: string;
  try {
    // One first: what keeps all of them from starting is told once.
    url = await start(1).listening;
    const others = Array.from({ length: workers - 1 }, (_, i) => start(i + 2).listening);
    await Promise.all(others);
  } catch (error) {
    await close();
    throw error;
  }
  for (const worker of live.keys()) kept.push(keep(worker));
  log.info({ workers, url, host }, 'gateway workers are up');
  return {
    url,
    reload: (next) => {
      check(next.limits, registry);
      config = onPort(next);
      for (const process of live.values()) process.settings(config);
    },
    setRegistry: (next) => {
      registry = next;
      try {
        check([], registry);
      } catch (error) {
        log.error({ reason: (error as Error).message }, 'until then each worker counts its own calls only');
      }
      for (const process of live.values()) process.registry(registry.loops);
    },
    flush: async () => {
      await Promise.all([...live.values()].map((process) => process.flush()));
    },
    failed: failure.promise,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

/** Throws `config_invalid` for limits that every worker would count for itself. */
function refuseLimits(workers: number, limits: Config['limits'], loops: Registry['loops']): void {
  const limited = [...loops.values()].filter(({ definition }) => definition.limits.length > 0);
  const where = [...(limits.length > 0 ? ['limits'] : []), ...limited.map(({ path }) => path)];
  if (where.length === 0) return;
  throw new LoopscopeError(
    'config_invalid',
    `gateway.workers: ${workers} workers share limits through Redis only, and limits are set (${where.join(', ')}). ` +
      'Set redis_url (LOOPSCOPE_REDIS_URL), or gateway.workers: 1.',
  );
}

/**
 * A port that nobody listens on, for `0` a free one: the workers let each other in, and so would they another gateway.
 * Throws `port_in_use`.
 */
async function claimPort(host: string, port: number): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'EADDRINUSE' ? portInUse(host, port) : error),
    );
    server.listen({ host, port, exclusive: true }, resolve);
  });
  const claimed = (server.address() as AddressInfo).port;
  await new Promise((resolve) => server.close(resolve));
  return claimed;
}

const keepsDying = (worker: number) =>
  new LoopscopeError(
    'worker_died',
    `Worker ${worker} of the gateway died more than ${DEATHS_MAX} times in ${DEATHS_WINDOW_MS / 1000} s and was not started again; the log says how it ended.`,
  );
