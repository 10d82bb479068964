import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { startCollector } from '../collector/collector.ts';
import { startEvals } from '../evals/evals.ts';
import type { Clock } from './clock.ts';
import { type Config, clusterOf } from './config.ts';
import { changedFields, takeOver, watchConfig } from './config-watch.ts';
import { LoopscopeError } from './errors.ts';
import { deliverLeftovers } from './gateway/record/leftovers.ts';
import { type Gateway, startGateway } from './gateway/server.ts';
import { startGatewayWorkers } from './gateway-workers/pool.ts';
import { tidyBehindCalls } from './heap.ts';
import { reportMetrics } from './own-metrics/report.ts';
import { openKeyRing } from './registry/keys.ts';
import type { Registry } from './registry/load.ts';
import { recordVersions } from './registry/versions.ts';
import { type RegistryWatch, watchRegistry } from './registry/watch.ts';
import { openStore, type Store } from './store/client.ts';
import { startEmbedded } from './store/embedded.ts';
import { migrate } from './store/migrate.ts';
import { prepareEventually } from './store/prepare.ts';
import { applyRetention } from './store/retention.ts';

/**
 * The composition root: which parts run in this process and in which order they start and stop. The store comes
 * first and goes last; the gateway goes before the collector, so that its last spans are taken. A collector on its own
 * does not wait for the store: what it takes waits in its spool.
 */
export type Role = 'clickhouse' | 'collector' | 'gateway' | 'evals';
export const ROLES: readonly Role[] = ['clickhouse', 'collector', 'gateway', 'evals'];

export type Endpoints = Partial<Record<Role, string>>;

export interface System {
  endpoints: Endpoints;
  /** Resolves when every run that is over is stored, scored, looked at and, where it must be, told about. */
  settled(): Promise<void>;
  /** Rejects if a part fails for good while running. */
  failed: Promise<never>;
  close(): Promise<void>;
}

const GAVE_UP = 'The embedded ClickHouse keeps dying and was not started again; the log says how it ended.';

export interface SystemOptions {
  config: Config;
  roles: readonly Role[];
  clock: Clock;
  log: Logger;
}

/** Starts `roles` in this process. On failure what had started is stopped again before the error is thrown. */
export async function startSystem({ config, roles, clock, log }: SystemOptions): Promise<System> {
  const runs = new Set(roles);
  const closers: (() => Promise<void> | void)[] = [];
  const endpoints: Endpoints = {};
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {}); // whoever waits on it hears of it; nobody has to
  const settling: (() => Promise<void>)[] = [];
  let reloadGateway: ((config: Config) => void) | undefined;
  let tellWorkers: ((registry: Registry) => void) | undefined;

  const close = async () => {
    // One part that cannot stop must not keep the others, or the ClickHouse below them, running.
    for (const closer of closers.splice(0).reverse()) {
      try {
        await closer();
      } catch (error) {
        log.error({ err: error }, 'a part did not stop in order');
      }
    }
  };
  try {
    const store = await startStore();
    const registry = startRegistry(store);
    const prepare = () => prepareStore(store, registry);
    let whyUnready: (() => string | undefined) | undefined;
    if (roles.every((role) => role === 'collector')) {
      const preparation = await prepareEventually(prepare, { clock, log });
      closers.push(() => preparation.close());
      preparation.failed.catch(failure.reject);
      whyUnready = preparation.whyUnready;
    } else await prepare();
    let flushCollector: (() => Promise<void>) | undefined;
    if (runs.has('collector')) {
      const collector = await startCollector({
        config,
        folder: join(config.data_dir, 'spool'),
        store,
        clock,
        log: log.child({ role: 'collector' }),
        capture: (loop) => registry.current().loop(loop)?.capture ?? 'full',
        findLoop: (loop) => registry.current().loop(loop),
        whyStoreUnready: whyUnready,
      });
      closers.push(() => collector.close());
      endpoints.collector = collector.url;
      flushCollector = () => collector.flush();
    }
    if (runs.has('gateway')) await startGatewayRole(store, registry);
    if (flushCollector) settling.push(flushCollector); // after the gateway's own, whose spans it is given
    if (runs.has('evals')) {
      const evals = await startEvals({
        config,
        store,
        clock,
        log: log.child({ role: 'evals' }),
        gatewayUrl: config.evals.gateway_url ?? endpoints.gateway,
      });
      closers.push(() => evals.close());
      endpoints.evals = evals.url;
      settling.push(() => evals.idle());
    }
    for (const role of ['collector', 'gateway', 'evals'] as const) report(role);
    watchSettings();
    const settled = async () => {
      for (const settle of settling) await settle();
    };
    return { endpoints, settled, failed: failure.promise, close };
  } catch (error) {
    await close();
    throw error;
  }

  async function startStore(): Promise<Store> {
    let url = config.clickhouse.url ?? `http://127.0.0.1:${config.clickhouse.http_port}`;
    if (runs.has('clickhouse') && !config.clickhouse.url) {
      mkdirSync(config.data_dir, { recursive: true });
      const embedded = await startEmbedded({
        dataDir: config.data_dir,
        httpPort: config.clickhouse.http_port,
        nativePort: config.clickhouse.native_port,
        memoryBytesMax: config.clickhouse.memory_bytes_max,
        clock,
        log: log.child({ role: 'clickhouse' }),
      });
      closers.push(() => embedded.close());
      embedded.exited.then(() => failure.reject(new LoopscopeError('store_unavailable', GAVE_UP)));
      url = embedded.url;
    }
    endpoints.clickhouse = url;
    const store = openStore({ url, cluster: clusterOf(config) });
    closers.push(() => store.close());
    return store;
  }

  async function prepareStore(store: Store, registry: RegistryWatch): Promise<void> {
    const applied = await migrate(store, clock);
    if (applied.length > 0) log.info({ applied }, 'schema brought up to date');
    // By the role that writes the rows: the others may be configured without it.
    const changed = runs.has('collector') ? await applyRetention(store, config.retention) : [];
    if (changed.length > 0) log.info({ tables: changed, ...config.retention }, 'retention changed');
    await recordVersions(store, registry.current(), clock);
  }

  function startRegistry(store: Store): RegistryWatch {
    const registry = watchRegistry(config.directory, {
      log,
      onChange: async (loops) => {
        tellWorkers?.(loops);
        await recordVersions(store, loops, clock);
      },
    });
    closers.push(() => registry.close());
    return registry;
  }

  function report(role: Exclude<Role, 'clickhouse'>): void {
    const url = endpoints[role];
    if (url === undefined) return;
    const { collector } = config;
    const reporting = reportMetrics({ role, url, collectorUrl: collectorUrl(), collector, clock, log });
    closers.push(() => reporting.close());
  }

  function collectorUrl(): string {
    const { url, tls, port } = config.collector;
    return endpoints.collector ?? url ?? `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
  }

  /** The file's changes, as far as they can take effect while this runs: those that the gateway takes. */
  function watchSettings(): void {
    if (config.path === undefined) return;
    const watch = watchConfig(config.path, {
      log,
      onChange: (next) => {
        const inForce = reloadGateway ? takeOver(config, next) : config;
        reloadGateway?.(inForce);
        const fields = changedFields(inForce, next);
        if (fields.length > 0) log.warn({ fields }, 'changed, and takes effect at the next start');
      },
    });
    closers.push(() => watch.close());
  }

  async function startGatewayRole(store: Store, registry: RegistryWatch): Promise<void> {
    /** As what is said between the roles has it. */
    const complete = (settings: Config): Config => ({
      ...settings,
      collector: { ...settings.collector, url: collectorUrl() },
      clickhouse: { ...settings.clickhouse, url: endpoints.clickhouse },
    });
    const gatewayLog = log.child({ role: 'gateway' });
    const common = { config: complete(config), clock, log: gatewayLog };
    const folder = join(config.data_dir, 'gateway');
    const leftovers = await deliverLeftovers({ ...common, folder });
    closers.push(() => leftovers.close());
    if (config.gateway.workers > 1) {
      const workers = await startGatewayWorkers({ ...common, registry: registry.current() });
      workers.failed.catch(failure.reject);
      tellWorkers = workers.setRegistry;
      useGateway(workers);
    } else {
      if (roles.length === 1) tidyBehindCalls();
      const keys = await openKeyRing(store, clock);
      closers.push(() => keys.close());
      useGateway(await startGateway({ ...common, registry: () => registry.current(), keys, folder }));
    }

    function useGateway(gateway: Pick<Gateway, 'url' | 'reload' | 'flush' | 'close'>): void {
      closers.push(() => gateway.close());
      endpoints.gateway = gateway.url;
      settling.push(() => gateway.flush());
      reloadGateway = (next) => gateway.reload(complete(next));
    }
  }
}
