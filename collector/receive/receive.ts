import type { AddressInfo } from 'node:net';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { LoopscopeError } from '../../src/errors.ts';
import type { OtlpEncoding, Signal } from '../../src/span/batch.ts';
import { LIMITS } from '../../src/span/limits.ts';
import { type Answer, encodeAnswer } from './answer.ts';
import { discardRest, readBody } from './body.ts';
import type { PendingBytes } from './pending.ts';

/** When a sender that was told "not now" may come again. */
const RETRY_AFTER_S = 1;
/** A request must be here, whole, within this. */
const REQUEST_TIMEOUT_MS = 60_000;
/** Longer than senders keep idle connections, so that they are the ones to close. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
/** What is still under way this long after `close` began is cut off. */
const CLOSE_MS_MAX = 10_000;

export interface ExportRequest {
  signal: Signal;
  body: Buffer;
  encoding: OtlpEncoding;
  /**
   * The sender may send these spans again, in other requests, at any later time (an import): those that are stored are
   * left out. Asked for by the header `x-loopscope-repeatable: true`.
   */
  repeatable: boolean;
}

export interface Readiness {
  ready: boolean;
  reasons: string[];
}

export interface ReceiveOptions {
  host: string;
  port: number;
  log: Logger;
  /** The stages behind this one. Expected failures are answers; what it throws is a bug. */
  accept: (request: ExportRequest) => Promise<Answer>;
  /** Whether to send anything here now, and what is wrong, which may be the one without the other. */
  readiness: () => Promise<Readiness>;
  metrics: () => string;
  onAnswer: (status: number) => void;
  bodyBytesMax?: number;
  /** What bodies may hold, of every receiver together. */
  pending: PendingBytes;
}

export interface Receiver {
  url: string;
  /** Takes no more requests; resolves when those under way are answered. */
  close(): Promise<void>;
}

/** The first stage: OTLP over HTTP. Throws `port_in_use`. */
export async function startReceiver(options: ReceiveOptions): Promise<Receiver> {
  const { host, port, log, onAnswer, pending } = options;
  const bodyBytesMax = options.bodyBytesMax ?? LIMITS.otlpBodyBytesMax;
  const app = Fastify({
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    forceCloseConnections: 'idle',
  });

  // Bodies are read by this stage alone, once it knows that it wants them.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));

  app.post('/v1/traces', async (request, reply) => {
    const encoding = encodingOf(request.headers['content-type']);
    const lease = pending.lease();
    try {
      if (!encoding) return send(request, reply, unsupported(request.headers['content-type']), 'json');
      const body = await readBody(request.raw, bodyBytesMax, lease);
      const repeatable = request.headers['x-loopscope-repeatable'] === 'true';
      return send(
        request,
        reply,
        await options.accept({ signal: 'traces', body, encoding, repeatable }),
        encoding,
      );
    } catch (error) {
      if (request.raw.destroyed && !request.raw.complete) return reply.hijack(); // nobody is there to be answered
      return send(request, reply, refusal(error), encoding ?? 'json');
    } finally {
      lease.release();
    }
  });
  app.get('/healthz', (_request, reply) => reply.type('text/plain').send('ok'));
  app.get('/readyz', async (_request, reply) => {
    const readiness = await options.readiness();
    return reply.code(readiness.ready ? 200 : 503).send(readiness);
  });
  app.get('/metrics', (_request, reply) =>
    reply.type('text/plain; version=0.0.4; charset=utf-8').send(options.metrics()),
  );
  app.setNotFoundHandler((request, reply) => {
    const message = `${request.method} ${request.url.slice(0, 200)}: there is nothing here. Spans go to POST /v1/traces.`;
    return send(request, reply, { kind: 'refused', status: 404, message }, 'json');
  });
  app.setErrorHandler((error, request, reply) => send(request, reply, refusal(error), 'json'));

  function send(request: FastifyRequest, reply: FastifyReply, answer: Answer, encoding: OtlpEncoding) {
    const { status, headers, body } = encodeAnswer(answer, encoding);
    onAnswer(status);
    if (answer.kind === 'refused') {
      log.debug({ status, reason: answer.message }, 'an export request was refused');
      discardRest(request.raw, bodyBytesMax);
    }
    return reply.code(status).headers(headers).send(body);
  }

  function refusal(error: unknown): Answer {
    if (error instanceof LoopscopeError) {
      const retryAfterS = error.retryable ? RETRY_AFTER_S : undefined;
      return { kind: 'refused', status: error.status, message: error.message, retryAfterS };
    }
    const { statusCode, message } = error as { statusCode?: number; message?: string };
    if (statusCode && statusCode < 500)
      return { kind: 'refused', status: statusCode, message: message ?? '' };
    log.error({ err: error }, 'a bug: an export request failed unexpectedly');
    return { kind: 'refused', status: 500, message: 'The collector failed unexpectedly; its log says more.' };
  }

  await listen(app, host, port);
  return {
    url: urlOf(app),
    close: async () => {
      const cut = setTimeout(() => app.server.closeAllConnections(), CLOSE_MS_MAX);
      await app.close();
      clearTimeout(cut);
    },
  };
}

function encodingOf(contentType = ''): OtlpEncoding | undefined {
  const type = contentType.split(';', 1)[0]!.trim().toLowerCase();
  if (type === 'application/x-protobuf' || type === 'application/protobuf') return 'protobuf';
  return type === 'application/json' ? 'json' : undefined;
}

const unsupported = (contentType: string | undefined): Answer => ({
  kind: 'refused',
  status: 415,
  message: `content-type: expected application/x-protobuf or application/json, found ${JSON.stringify(contentType?.slice(0, 80) ?? 'none')}.`,
});

async function listen(app: FastifyInstance, host: string, port: number): Promise<void> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    await app.close();
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new LoopscopeError(
      'port_in_use',
      `The collector cannot listen on ${host}:${port}: something else does. Stop it, or set collector.port (0 picks a free one).`,
    );
  }
}

function urlOf(app: FastifyInstance): string {
  const { address, port, family } = app.server.address() as AddressInfo;
  if (address === '0.0.0.0' || address === '::') return `http://127.0.0.1:${port}`;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
