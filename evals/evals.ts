import Fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Clock } from '../src/clock.ts';
import type { Config } from '../src/config.ts';
import { LoopscopeError } from '../src/errors.ts';
import { watchRegistry } from '../src/registry/watch.ts';
import type { Store } from '../src/store/client.ts';
import { createDetection } from './detection.ts';
import { createAsking } from './labels/ask.ts';
import { addLabelRoutes } from './labels/http.ts';
import { createMetrics } from './metrics.ts';
import { createModelWatch } from './models/watch.ts';
import { createNotifications } from './notify/notify.ts';
import { createProbes } from './probe/probes.ts';
import { openLead } from './queue/open.ts';
import { createScheduling } from './scheduling.ts';
import { scorerServices } from './scorers/services.ts';
import { createStandingWatch } from './standing/watch.ts';
import { openSuites, type Suite } from './suite.ts';
import { createTurns } from './turns.ts';
import { createUnmeasuredWatch } from './unmeasured/watch.ts';

/**
 * The evals role: scores what is due, looks at loops with new scores and at the models they use, tells receivers of alerts,
 * and keeps up how each loop stands.
 *
 * Nothing here waits for what is slow elsewhere: suites score beside each other, and receivers are told beside that.
 * Processes that share a Redis share the jobs, and one of them looks and tells for all (see queue/).
 */
export interface EvalsOptions {
  config: Config;
  store: Store;
  clock: Clock;
  log: Logger;
  /** Where probes are sent; where the settings say that a gateway listens without it. */
  gatewayUrl?: string | undefined;
}

export interface Evals {
  url: string;
  /** Stops at the run in hand. What was cut off is taken up by the next start. */
  close(): Promise<void>;
  /**
   * Resolves when every run that is over and can be scored now is scored, loops are looked at and receivers told.
   * It scores off the schedule. Rejects when the store is away.
   */
  idle(): Promise<void>;
}

const TICK_MS = 500;
const HELD_UP_MS = 2_000;
const IDLE_POLL_MS = 200;
/** Looks at loops before the next at suites: what is amiss there shows in minutes. */
const SUITES_LOOKS = 10;

/** Starts the role. Throws `config_invalid` when suites are wrong from the start, `port_in_use` when the port is. */
export async function startEvals({ config, store, clock, log, gatewayUrl }: EvalsOptions): Promise<Evals> {
  const stopping = new AbortController();
  const { signal } = stopping;
  const metrics = createMetrics();
  const suites = openSuites(config.directory);
  const asking = createAsking({ store, clock, config, metrics, log, signal });
  const detection = createDetection({ store, clock, config, metrics, log });
  const registry = watchRegistry(config.directory, { log, onChange: async () => {} });
  const deliveries = createNotifications({
    store,
    settings: config.alerts,
    loopOf: (loop) => registry.current().loop(loop),
    clock,
    metrics,
    log,
    signal,
    isTeller: () => lead.isLeader(),
  });
  const models = createModelWatch({
    store,
    clock,
    config,
    metrics,
    log,
    signal,
    onAlerts: () => deliveries.wake(),
  });
  const probes = createProbes({
    store,
    clock,
    config,
    gatewayUrl: scorerServices(config, clock, gatewayUrl ?? config.evals.gateway_url).gatewayUrl,
    metrics,
    log,
    signal,
    suites: () => suites.current(),
    onAlerts: () => deliveries.wake(),
  });
  const looking = createTurns(1);

  let nextLookAt = 0;
  const look = () =>
    looking.take('look', async () => {
      nextLookAt = clock.now() + config.evals.detect_every_s * 1000;
      if ((await detection.look(suites.current())) > 0) deliveries.wake();
    });

  const unmeasured = createUnmeasuredWatch({ store, clock, config, metrics, log });
  let nextSuitesLookAt = 0;
  const lookAtSuites = () =>
    looking.take('suites', async () => {
      nextSuitesLookAt = clock.now() + config.evals.detect_every_s * SUITES_LOOKS * 1000;
      if ((await unmeasured.look(suites.current())) > 0) deliveries.wake();
    });

  const standings = createStandingWatch({ store, clock, config, registry: registry.current });
  const lookAtStandings = () => looking.take('standings', standings.look);

  const lead = await openLead({ config, clock, log });
  const scheduling = await createScheduling({
    store,
    clock,
    config,
    metrics,
    log,
    signal,
    suites,
    afterJob: (suite) => Promise.all([lead.isLeader() ? look() : undefined, asking.ask(suite)]),
  });

  let complaint: string | undefined;
  const noteComplaint = () => {
    if (suites.complaint() === complaint) return;
    complaint = suites.complaint();
    metrics.set('suites_invalid', {}, complaint ? 1 : 0);
    if (complaint) log.error({ reason: complaint }, 'suites are wrong; the ones read before stay in force');
  };

  /** Each goes on while the other is held up, say by a queue that is away. */
  const everyTick = async (work: () => Promise<unknown>) => {
    while (!signal.aborted) {
      let pauseMs = TICK_MS;
      try {
        await work();
      } catch (error) {
        pauseMs = HELD_UP_MS;
        if (!signal.aborted) log.error({ reason: (error as Error).message }, 'evals are held up');
      }
      await clock.sleep(pauseMs, signal).catch(() => {});
    }
  };
  const ticking = async () => {
    await Promise.all([
      everyTick(async () => {
        noteComplaint();
        await scheduling.tick();
      }),
      everyTick(async () => {
        if (!lead.isLeader()) return;
        if (clock.now() >= nextLookAt) await look();
        if (clock.now() >= nextSuitesLookAt) await lookAtSuites();
        if (standings.isDue()) await lookAtStandings();
      }),
    ]);
    await scheduling.close();
    await looking.settled();
  };

  const scoreNow = async (suite: Suite): Promise<number> => {
    try {
      const { scored, errors } = await scheduling.score(suite);
      return scored + errors;
    } catch (error) {
      // A suite that cannot run has nothing that can be scored; its job says why.
      if (!(error instanceof LoopscopeError) || error.retryable) throw error;
      return 0;
    }
  };
  const idle = async () => {
    while (!signal.aborted) {
      const looked = await Promise.all(suites.current().map(scoreNow));
      await Promise.all(suites.current().map(asking.ask));
      await look();
      await models.look();
      await lookAtSuites();
      await probes.look();
      if (looked.every((n) => n === 0) && (await deliveries.pending()) === 0) break;
      await clock.sleep(IDLE_POLL_MS, signal).catch(() => {});
    }
    if (!signal.aborted) await lookAtStandings();
  };

  const { url, close: closeServer } = await serve({
    config,
    whyUnready: async () =>
      [(await store.ping()) ? undefined : 'ClickHouse does not answer', scheduling.whyAway()].filter(
        (reason) => reason !== undefined,
      ),
    complaint: () => complaint,
    metrics: () => metrics.render(),
    addRoutes: (app) =>
      addLabelRoutes(app, { store, clock, config, suites: () => suites.current(), metrics, log }),
  }).catch(async (error) => {
    stopping.abort();
    registry.close();
    await scheduling.close();
    await lead.close();
    throw error;
  });
  const work = [ticking(), deliveries.run(), models.run(), probes.run()];
  return {
    url,
    idle,
    close: async () => {
      stopping.abort();
      await Promise.all(work);
      registry.close();
      await lead.close();
      await closeServer();
    },
  };
}

interface ServeOptions {
  config: Pick<Config, 'evals'>;
  whyUnready: () => Promise<string[]>;
  complaint: () => string | undefined;
  metrics: () => string;
  addRoutes: (app: FastifyInstance) => void;
}

async function serve({ config, whyUnready, complaint, metrics, addRoutes }: ServeOptions) {
  const app = Fastify({ logger: false, forceCloseConnections: true });
  app.get('/healthz', () => 'ok');
  app.get('/readyz', async (_, reply) => {
    const reasons = await whyUnready();
    const isReady = reasons.length === 0;
    const suites = complaint();
    return reply.status(isReady ? 200 : 503).send({
      ready: isReady,
      reasons,
      warnings: suites ? [suites] : [],
    });
  });
  app.get('/metrics', (_, reply) => reply.type('text/plain; version=0.0.4').send(metrics()));
  addRoutes(app);
  const { host, port } = config.evals;
  try {
    return { url: await app.listen({ host, port }), close: () => app.close() };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new LoopscopeError(
      'port_in_use',
      `Evals cannot listen on ${host}:${port}: something else does. Stop it, or set evals.port (LOOPSCOPE_EVALS_PORT); 0 picks a free one.`,
    );
  }
}
