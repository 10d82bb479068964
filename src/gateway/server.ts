import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { LoopscopeError } from '../errors.ts';
import type { KeyRing } from '../registry/key.ts';
import { Connections } from './connections/connections.ts';
import { type CallContext, routerOptions, settingsOf } from './context.ts';
import { requestListener } from './http.ts';
import { openReplay } from './idempotency/open.ts';
import type { Registry } from './identity.ts';
import { InferenceMetrics } from './inference-metrics.ts';
import { openLimits } from './limits/open.ts';
import { collectRules } from './limits/settings.ts';
import { Metrics } from './metrics.ts';
import { metricsText } from './metrics-text.ts';
import { collectorAddress } from './record/deliver.ts';
import { resourceAttributes, startElsewhere } from './record/elsewhere.ts';
import { openRecorder } from './record/recorder.ts';
import { Deadlines } from './routing/deadlines.ts';
import { RoutingFigures } from './routing/figures.ts';
import { Router } from './routing/plan.ts';
import { Runs } from './runs.ts';
import { UnderWay } from './under-way.ts';

/**
 * The gateway: loops call providers through it. A request passes
 *
 *     http.ts → route.ts → call.ts: identity.ts → idempotency/ → limits/ → routing/ → the answer, read by tap/ → record/
 */
export interface GatewayOptions {
  config: Config;
  registry: () => Registry;
  keys: KeyRing;
  clock: Clock;
  log: Logger;
  /** Its files: what is killed, and in `spool` the spans that wait for the collector. */
  folder: string;
  /** In place of that `spool`: gateways that share a folder have one each. */
  spoolFolder?: string;
  /** Whether others of the same user may listen on its port, and get their share of the connections. */
  reusePort?: boolean;
  /** What `/metrics` says, where it is not of this gateway alone. */
  metrics?: () => Promise<string>;
  /** How long `close` waits for calls under way, in place of `gateway.drain_s`. */
  drainMs?: number;
}

export interface Gateway {
  url: string;
  /** Stops or revives loops and runs. */
  kills: Awaited<ReturnType<typeof openLimits>>['kills'];
  /** Takes new settings over for calls that begin from now on: all but ports, spool, Redis and what is kept of answers. */
  reload(config: Config): void;
  /** What it counts itself, in Prometheus' text format. */
  metrics(): string;
  /** Resolves when the collector has every span that is finished now. */
  flush(): Promise<void>;
  /**
   * Is unready at once, stops taking calls when `gateway.unready_s` are over, lets those under way finish for a while,
   * ends open runs and delivers the last spans.
   */
  close(): Promise<void>;
}

const LAST_SPANS_MS = 5_000;
const IDLE_SWEEP_MS = 50;
/** A request that takes longer to arrive is not being sent. */
const REQUEST_MS_MAX = 120_000;
/** Longer than callers keep idle connections, so that they are the ones to close. */
const KEEP_ALIVE_MS = 75_000;

/** Starts the gateway. Throws `config_invalid` without a collector, `port_in_use`, `data_dir_in_use` for the folder. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { registry, keys, clock, log, folder } = options;
  let { config } = options;
  const { unready_s, drain_s } = config.gateway;
  const { spoolFolder = join(folder, 'spool'), drainMs = drain_s * 1000 } = options;
  const settings = settingsOf(config);
  const recorder = await openRecorder({
    folder: spoolFolder,
    collector: collectorAddress(config.collector),
    spool: config.gateway.spool,
    resource: resourceAttributes(),
    elsewhere: config.otel_export === 'off' ? undefined : startElsewhere(config.otel_export, { clock, log }),
    clock,
    log,
  });
  const runs = new Runs({
    clock,
    idleMs: config.gateway.run_idle_s * 1000,
    emit: (spans) => void recorder.record(spans),
  });
  let inForce = registry();
  const rules = () =>
    collectRules(
      config.limits,
      [...inForce.loops.values()].map(({ definition }) => definition),
    );
  const limits = await openLimits(
    {
      rules: rules(),
      redisUrl: config.redis_url,
      folder,
      whenStoreAway: config.limits_when_store_away,
      onWarning: (warning) => log.warn({ ...warning }, 'a limit is nearly used up'),
    },
    { clock, log },
  ).catch(async (error: unknown) => {
    runs.close();
    await recorder.close(LAST_SPANS_MS);
    throw error;
  });
  const { replay, close: closeReplay } = await openReplay(config, { clock, log });
  const connections = new Connections();
  const router = new Router(routerOptions(config, settings, clock.random));
  const context: CallContext = {
    settings,
    router,
    routing: { connections, clock, deadlines: new Deadlines({ clock, log }), figures: new RoutingFigures() },
    limiter: limits.limiter,
    replay,
    identity: {
      keys,
      registry: () => {
        const current = registry();
        if (current !== inForce) {
          inForce = current;
          limits.limiter.setRules(rules());
        }
        return current;
      },
    },
    runs,
    recorder,
    metrics: new Metrics(),
    inference: new InferenceMetrics(),
    clock,
    log,
    unrecorded: new UnderWay(),
  };
  let closing: Promise<void> | undefined;
  const metrics = () => metricsText(context);
  const server = createServer(
    { requestTimeout: REQUEST_MS_MAX, keepAliveTimeout: KEEP_ALIVE_MS },
    requestListener(context, () => closing !== undefined, options.metrics ?? metrics),
  );
  const close = async () => {
    if (server.listening) await clock.sleep(unready_s * 1000);
    const drained = new AbortController();
    const deadline = clock
      .sleep(drainMs, drained.signal)
      .then(() => server.closeAllConnections())
      .catch(() => {}); // drained in time
    // A connection whose call ends meanwhile is kept alive, and would hold the end up.
    const sweep = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS);
    await new Promise<void>((resolve) => server.close(() => resolve()));
    clearInterval(sweep);
    drained.abort();
    await deadline;
    await context.unrecorded.none();
    runs.close();
    await Promise.all([recorder.close(LAST_SPANS_MS), limits.close(), closeReplay(), connections.destroy()]);
  };

  const { host, port } = config.gateway;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port, reusePort: options.reusePort === true }, resolve);
    });
  } catch (error) {
    await close();
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw portInUse(host, port);
  }
  const address = server.address() as AddressInfo;
  const shownHost = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return {
    url: `http://${shownHost}:${address.port}`,
    kills: limits.kills,
    reload: (next) => {
      config = next;
      context.settings = settingsOf(next);
      router.reload(routerOptions(next, context.settings, clock.random));
      limits.limiter.setRules(rules());
    },
    metrics,
    flush: () => recorder.flush(),
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

export const portInUse = (host: string, port: number) =>
  new LoopscopeError(
    'port_in_use',
    `gateway: port ${port} on ${host} is in use. Stop what runs there, or set gateway.port (LOOPSCOPE_GATEWAY_PORT; 0 picks a free one).`,
  );
