import type { AddressInfo } from 'node:net';
import type { SpanExporter } from '@opentelemetry/sdk-trace';
import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import { collectorAuthorities } from '../collector-trust.ts';
import type { Config } from '../config.ts';
import { LoopscopeError } from '../errors.ts';
import type { KeyRing } from '../registry/key.ts';
import { LIMITS } from '../span/limits.ts';
import { answerError, toGatewayError } from './answer-error.ts';
import { type CallContext, handleCall } from './call.ts';
import type { Registry } from './identity.ts';
import { Metrics } from './metrics.ts';
import type { Protocol } from './protocol.ts';
import { openConnections, providerTarget } from './provider.ts';
import { type Route, readRoute } from './route.ts';
import { Runs } from './runs.ts';
import { handleStatement } from './statements.ts';
import { startTracing } from './tracing.ts';

/**
 * The gateway: loops call providers through it. A request passes
 *
 *     route.ts → identity.ts → headers.ts → provider.ts → tap.ts (openai.ts, anthropic.ts) → call-span.ts → tracing.ts
 *
 * and call.ts leads it through.
 */
export interface GatewayOptions {
  config: Config;
  registry: () => Registry;
  keys: KeyRing;
  clock: Clock;
  log: Logger;
  /** Takes the spans instead of the collector: for tests. */
  exporter?: SpanExporter;
  /** How long `close` waits for calls under way. */
  drainMs?: number;
}

export interface Gateway {
  url: string;
  /** Resolves when the collector has every span that is finished now. */
  flush(): Promise<void>;
  /** Stops taking calls, lets those under way finish for a while, ends open runs and delivers the last spans. */
  close(): Promise<void>;
}

const DRAIN_MS = 5_000;
const LAST_SPANS_MS = 5_000;
/** A request that takes longer to arrive is not being sent. */
const REQUEST_MS_MAX = 120_000;
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** Starts the gateway. Throws `config_invalid` without a collector, `port_in_use`. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { config, registry, keys, clock, log, exporter, drainMs = DRAIN_MS } = options;
  const { openai, anthropic } = config.providers;
  if (!openai || !anthropic || !(config.collector.url || exporter))
    throw new LoopscopeError(
      'config_invalid',
      'gateway: expected providers.openai, providers.anthropic and collector.url (where spans go); one is not set.',
    );
  const tracing = startTracing(
    {
      collectorUrl: config.collector.url ?? '',
      collectorToken: config.collector.token,
      collectorAuthorities: collectorAuthorities(config.collector),
      otelExport: config.otel_export,
      exporter,
    },
    { clock, log },
  );
  const runs = new Runs({ clock, idleMs: config.gateway.run_idle_s * 1000, emit: tracing.emit });
  const metrics = new Metrics();
  const connections = openConnections();
  const context: CallContext = {
    targets: { openai: providerTarget(openai), anthropic: providerTarget(anthropic) },
    connections,
    identity: { keys, registry, strict: config.registry === 'strict' },
    runs,
    tracing,
    metrics,
    clock,
    log,
    unrecorded: new Set(),
  };
  const app = createApp(context);
  let closing: Promise<void> | undefined;
  const close = async () => {
    const drained = new AbortController();
    const deadline = clock
      .sleep(drainMs, drained.signal)
      .then(() => app.server.closeAllConnections())
      .catch(() => {}); // drained in time
    await app.close();
    drained.abort();
    await deadline;
    await Promise.all(context.unrecorded);
    runs.close();
    await Promise.all([tracing.close(LAST_SPANS_MS), connections.destroy()]);
  };

  app.get('/healthz', async (_, reply) => reply.type('text/plain').send('ok'));
  app.get('/readyz', async (_, reply) =>
    closing ? reply.code(503).send({ ready: false, reasons: ['closing'] }) : { ready: true, reasons: [] },
  );
  app.get('/metrics', async (_, reply) => {
    const { depth, dropped, exported, exportsFailed } = tracing.queue;
    const text = metrics.text({ queueDepth: depth, dropped, exported, exportsFailed, openRuns: runs.size });
    return reply.type('text/plain; version=0.0.4').send(text);
  });

  const { host, port } = config.gateway;
  try {
    await app.listen({ host, port });
  } catch (error) {
    await close();
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new LoopscopeError(
      'port_in_use',
      `gateway: port ${port} on ${host} is in use. Stop what runs there, or set gateway.port (LOOPSCOPE_GATEWAY_PORT; 0 picks a free one).`,
    );
  }
  const address = app.server.address() as AddressInfo;
  const shownHost = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return {
    url: `http://${shownHost}:${address.port}`,
    flush: () => tracing.queue.forceFlush(),
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

function createApp(context: CallContext): FastifyInstance {
  const app = Fastify({
    logger: false,
    bodyLimit: LIMITS.gatewayBodyBytesMax,
    requestTimeout: REQUEST_MS_MAX,
    exposeHeadRoutes: false,
    forceCloseConnections: 'idle',
    frameworkErrors: (error, request, reply) => refuse(context, error, request, reply as FastifyReply),
  });
  // A body goes on as it came, whatever it is.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body));
  // Fastify refuses a type that is malformed; the provider, which gets the raw headers, is to judge that.
  app.addHook('onRequest', (request, _, done) => {
    delete request.raw.headers['content-type'];
    done();
  });
  app.setErrorHandler((error: FastifyError, request, reply) => refuse(context, error, request, reply));
  app.setNotFoundHandler((request, reply) => refuse(context, unknownPath(request), request, reply));
  app.route({
    method: METHODS,
    url: '/*',
    handler: async (request, reply) => {
      const route = routeOf(request);
      const body = Buffer.isBuffer(request.body) ? request.body : undefined;
      if (route?.to === 'provider') {
        const taken = () => void reply.hijack();
        try {
          await handleCall(context, route, { message: request.raw, body, response: reply.raw, taken });
        } catch (error) {
          if (!reply.sent) throw error;
          context.log.error({ err: error }, 'a call failed halfway');
          reply.raw.destroy();
        }
        return reply;
      }
      if (route?.to === 'statement' && request.method === 'POST') {
        const said = await handleStatement(context, route, { headers: request.headers, body });
        return reply.code(202).send(said);
      }
      throw unknownPath(request);
    },
  });
  return app;
}

function routeOf(request: FastifyRequest): Route | undefined {
  const version = request.headers['anthropic-version'];
  return readRoute(request.raw.url ?? '/', Array.isArray(version) ? version[0] : version);
}

const unknownPath = (request: FastifyRequest) =>
  new LoopscopeError(
    'not_found',
    `Nothing is at ${request.method} ${(request.raw.url ?? '/').split('?')[0]!.slice(0, 200)}. ` +
      'Expected /v1/… or /openai/v1/… (OpenAI), /anthropic/v1/… or /v1/messages (Anthropic), any of them behind ' +
      '/loops/{loop}/agents/{agent}, or POST /loops/{loop}/runs/{run}/verdict, …/effects or …/end.',
  );

function refuse(context: CallContext, error: Error, request: FastifyRequest, reply: FastifyReply): void {
  const told = toGatewayError(asRefusal(error)) ?? {
    status: 500,
    code: 'internal',
    message: 'The gateway failed; its log says more.',
    retryable: true,
  };
  if (told.code === 'internal') context.log.error({ err: error }, 'a request failed');
  context.metrics.refused(told.code);
  if (reply.sent || reply.raw.headersSent) {
    reply.raw.destroy();
    return;
  }
  // After a body that was not read to its end the connection cannot serve another request.
  const headers: Record<string, string> = told.status === 413 ? { connection: 'close' } : {};
  reply.hijack();
  answerError(reply.raw, protocolOf(request), told, headers);
}

/** The API whose words the caller understands, as far as the path tells. */
function protocolOf(request: FastifyRequest): Protocol | undefined {
  try {
    const route = routeOf(request);
    return route?.to === 'provider' ? route.protocol : undefined;
  } catch {
    return undefined;
  }
}

/** Fastify's own refusals in our words. */
function asRefusal(error: Error): Error {
  if (!('statusCode' in error)) return error;
  if (error.statusCode === 413)
    return new LoopscopeError(
      'body_too_large',
      `The request body is larger than ${LIMITS.gatewayBodyBytesMax} bytes, the most that a loop may send.`,
    );
  if (typeof error.statusCode === 'number' && error.statusCode < 500)
    return new LoopscopeError('bad_input', error.message);
  return error;
}
