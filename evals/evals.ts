import Fastify from 'fastify';
import type { Logger } from 'pino';
import type { Clock } from '../src/clock.ts';
import type { Config } from '../src/config.ts';
import { LoopscopeError } from '../src/errors.ts';
import type { Store } from '../src/store/client.ts';
import { createDetection } from './detection.ts';
import { createRunner } from './jobs.ts';
import { createMetrics } from './metrics.ts';
import { createModelWatch } from './models/watch.ts';
import { openSuites, type Suite } from './suite.ts';
import { createTurns } from './turns.ts';
import { createDeliveries } from './webhook.ts';

/**
 * The evals role: scores what is due, looks at loops with new scores and at the models they use, tells receivers of alerts.
 *
 * Nothing here waits for what is slow elsewhere: suites score beside each other, and receivers are told beside that.
 */
export interface EvalsOptions {
  config: Config;
  store: Store;
  clock: Clock;
  log: Logger;
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
/** Suites that score at the same time. */
const SUITES_AT_ONCE_MAX = 8;

/** Starts the role. Throws `config_invalid` when suites are wrong from the start, `port_in_use` when the port is. */
export async function startEvals({ config, store, clock, log }: EvalsOptions): Promise<Evals> {
  const stopping = new AbortController();
  const { signal } = stopping;
  const metrics = createMetrics();
  const suites = openSuites(config.directory);
  const runner = createRunner({ store, clock, config, metrics, log, signal });
  const detection = createDetection({ store, clock, config, metrics, log });
  const { webhooks } = config.alerts;
  const deliveries = createDeliveries({ store, receivers: webhooks, clock, metrics, log, signal });
  const models = createModelWatch({
    store,
    clock,
    config,
    metrics,
    log,
    signal,
    onAlerts: () => deliveries.wake(),
  });
  const scoring = createTurns(SUITES_AT_ONCE_MAX);
  const looking = createTurns(1);

  let nextLookAt = 0;
  const look = () =>
    looking.take('look', async () => {
      nextLookAt = clock.now() + config.evals.detect_every_s * 1000;
      if ((await detection.look(suites.current())) > 0) deliveries.wake();
    });

  /** Starts what is due and waits for none of it, but for a while after a suite was held up. */
  const heldUpUntil = new Map<string, number>();
  const startDue = () => {
    for (const suite of suites.current()) {
      const name = suite.suite;
      if (scoring.isBusy(name) || (heldUpUntil.get(name) ?? 0) > clock.now()) continue;
      scoring
        .take(name, () => runner.runDue(suite, look))
        .catch((error: Error) => {
          heldUpUntil.set(name, clock.now() + HELD_UP_MS);
          if (!signal.aborted) log.error({ suite: name, reason: error.message }, 'suite is held up');
        });
    }
  };

  let complaint: string | undefined;
  const noteComplaint = () => {
    if (suites.complaint() === complaint) return;
    complaint = suites.complaint();
    metrics.set('suites_invalid', {}, complaint ? 1 : 0);
    if (complaint) log.error({ reason: complaint }, 'suites are wrong; the ones read before stay in force');
  };

  const ticking = async () => {
    while (!signal.aborted) {
      let pauseMs = TICK_MS;
      try {
        await runner.ready();
        startDue();
        noteComplaint();
        if (clock.now() >= nextLookAt) await look();
      } catch (error) {
        pauseMs = HELD_UP_MS;
        if (!signal.aborted) log.error({ reason: (error as Error).message }, 'evals are held up');
      }
      await clock.sleep(pauseMs, signal).catch(() => {});
    }
    await scoring.settled();
    await looking.settled();
  };

  const scoreNow = async (suite: Suite): Promise<number> => {
    try {
      const { scored, errors } = await scoring.take(suite.suite, () => runner.score(suite));
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
      await look();
      await models.look();
      if (looked.every((n) => n === 0) && (await deliveries.pending()) === 0) return;
      await clock.sleep(IDLE_POLL_MS, signal).catch(() => {});
    }
  };

  const { url, close: closeServer } = await serve({
    config,
    ready: () => store.ping(),
    complaint: () => complaint,
    metrics: () => metrics.render(),
  });
  const work = [ticking(), deliveries.run(), models.run()];
  return {
    url,
    idle,
    close: async () => {
      stopping.abort();
      await Promise.all(work);
      await closeServer();
    },
  };
}

interface ServeOptions {
  config: Pick<Config, 'evals'>;
  ready: () => Promise<boolean>;
  complaint: () => string | undefined;
  metrics: () => string;
}

async function serve({ config, ready, complaint, metrics }: ServeOptions) {
  const app = Fastify({ logger: false, forceCloseConnections: true });
  app.get('/healthz', () => 'ok');
  app.get('/readyz', async (_, reply) => {
    const isReady = await ready();
    const suites = complaint();
    return reply.status(isReady ? 200 : 503).send({
      ready: isReady,
      reasons: isReady ? [] : ['ClickHouse does not answer'],
      warnings: suites ? [suites] : [],
    });
  });
  app.get('/metrics', (_, reply) => reply.type('text/plain; version=0.0.4').send(metrics()));
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
