import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import { LoopscopeError } from '../../src/errors.ts';
import type { OtlpEncoding, Signal } from '../../src/span/batch.ts';
import { LIMITS } from '../../src/span/limits.ts';
import { type Answer, encodeAnswer } from './answer.ts';
import { tokenCheck } from './authorize.ts';
import { discardRest, readBody } from './body.ts';
import { answerAndHangUp } from './hang-up.ts';
import type { PendingBytes } from './pending.ts';
import type { WorkQueue } from './queue.ts';
import type { Certificate } from './tls.ts';

/** A sender that was told "not now" may come again after 1 to this many seconds, drawn so that they spread. */
const RETRY_AFTER_S_MAX = 4;
/** How long the head of a request, and all of it, may take to come. */
const HEAD_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;
/** How often that is looked at. */
const TIMEOUT_CHECK_MS = 2_000;
/** Longer than senders keep idle connections, so that they are the ones to close. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
/** Past this many a new connection is closed as it comes. */
const CONNECTIONS_MAX = 10_000;
/** Reading a longer body only to throw it away costs more than a new connection, under overload of all times. */
const WORTH_READING_BYTES_MAX = 64 * 1024;
/** Of what a sender without a token sends on. */
const STRANGER_BYTES_MAX = 1024 * 1024;
/** What is still under way this long after `close` began is cut off. */
const CLOSE_MS_MAX = 10_000;

const SIGNALS = new Map<string, Signal>([
  ['/v1/traces', 'traces'],
  ['/v1/logs', 'logs'],
  ['/v1/metrics', 'metrics'],
]);

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
  /** What senders must show as `authorization: Bearer …`; nothing where this is not given. */
  token?: string | undefined;
  /** Plain text without it. */
  certificate?: Certificate | undefined;
  log: Logger;
  /** Uniform in [0, 1). */
  random: () => number;
  /** The stages behind this one. Expected failures are answers; what it throws is a bug. */
  accept: (request: ExportRequest) => Promise<Answer>;
  /** Whether to send anything here now, and what is wrong, which may be the one without the other. */
  readiness: () => Promise<Readiness>;
  metrics: () => string;
  onAnswer: (status: number) => void;
  bodyBytesMax?: number | undefined;
  /** What bodies may hold, of every receiver together. */
  pending: PendingBytes;
  /** Where they wait for their turn, those of every receiver. */
  queue: WorkQueue;
}

export interface Receiver {
  url: string;
  /** Takes no more requests; resolves when those under way are answered. */
  close(): Promise<void>;
}

/**
 * The first stage: OTLP over HTTP. What can be refused by the head of a request is, before its body is read. The
 * token is asked for where data comes in; health, readiness and figures are open. Throws `port_in_use`.
 */
export async function startReceiver(options: ReceiveOptions): Promise<Receiver> {
  const { log, pending, queue } = options;
  const bodyBytesMax = options.bodyBytesMax ?? LIMITS.otlpBodyBytesMax;
  const isAuthorized = tokenCheck(options.token);
  let closing = false;

  /** Whether to go on with a request for export, by its head alone. */
  function refusedByHead({ method, headers }: IncomingMessage, encoding: OtlpEncoding | undefined) {
    if (method !== 'POST') return refuse(405, `expected POST, found ${method}.`);
    if (!isAuthorized(headers.authorization))
      return refuse(401, 'Expected the collector\'s token as "authorization: Bearer TOKEN".');
    if (!encoding) return unsupported(headers['content-type']);
    if (queue.isFull)
      return refusal(new LoopscopeError('overloaded', 'The collector is overloaded. Try again later.'));
    return undefined;
  }

  async function takeExport(request: IncomingMessage, response: ServerResponse, signal: Signal) {
    const encoding = encodingOf(request.headers['content-type']);
    const refused = refusedByHead(request, encoding);
    if (refused || !encoding) return answer(request, response, refused!, encoding ?? 'json', signal);
    const lease = pending.lease();
    try {
      if (expectsContinue(request)) response.writeContinue();
      const body = await readBody(request, bodyBytesMax, lease);
      const repeatable = request.headers['x-loopscope-repeatable'] === 'true';
      const accept = () => options.accept({ signal, body, encoding, repeatable });
      answer(request, response, await queue.run(body.length, accept), encoding, signal);
    } catch (error) {
      if (request.destroyed && !request.complete) return; // nobody is there to be answered
      answer(request, response, refusal(error), encoding, signal);
    } finally {
      lease.release();
    }
  }

  function answer(
    request: IncomingMessage,
    response: ServerResponse,
    what: Answer,
    encoding: OtlpEncoding,
    signal?: Signal,
  ): void {
    const { status, headers, body } = encodeAnswer(what, encoding, signal);
    options.onAnswer(status);
    if (what.kind === 'refused') {
      log.debug({ status, reason: what.message }, 'an export request was refused');
      if (status === 401) headers['www-authenticate'] = 'Bearer';
      if (status === 405) headers['allow'] = 'POST';
      // A sender that was not told to go on may or may not send its body: what comes next cannot be told apart.
      if (expectsContinue(request) && !request.complete) headers['connection'] = 'close';
      if (!request.complete && lengthOf(request) > WORTH_READING_BYTES_MAX && status === 503) {
        answerAndHangUp(request, response, { status, headers, body });
        return;
      }
      discardRest(request, status === 401 ? STRANGER_BYTES_MAX : bodyBytesMax);
    }
    reply(response, status, headers, body);
  }

  function reply(
    response: ServerResponse,
    status: number,
    headers: Record<string, string>,
    body: Buffer | string,
  ) {
    if (closing) headers['connection'] = 'close';
    response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body);
  }

  function refusal(error: unknown): Extract<Answer, { kind: 'refused' }> {
    if (error instanceof LoopscopeError) {
      const retryAfterS = error.retryable ? 1 + Math.floor(options.random() * RETRY_AFTER_S_MAX) : undefined;
      return { kind: 'refused', status: error.status, message: error.message, retryAfterS };
    }
    log.error({ err: error }, 'a bug: an export request failed unexpectedly');
    return refuse(500, 'The collector failed unexpectedly; its log says more.');
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url!.split('?', 1)[0]!;
    const signal = SIGNALS.get(path);
    if (signal) return await takeExport(request, response, signal);
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (isRead && path === '/healthz') return reply(response, 200, { ...TEXT }, 'ok');
    if (isRead && path === '/readyz') {
      const readiness = await options.readiness();
      return reply(response, readiness.ready ? 200 : 503, { ...JSON_TYPE }, JSON.stringify(readiness));
    }
    if (isRead && path === '/metrics') return reply(response, 200, { ...FIGURES }, options.metrics());
    const what = `${request.method} ${request.url!.slice(0, 200)}`;
    const message = `${what}: there is nothing here. OTLP goes to POST ${[...SIGNALS.keys()].join(', ')}.`;
    answer(request, response, refuse(404, message), 'json');
  }

  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    handle(request, response).catch((error) => {
      if (response.headersSent) response.destroy();
      else answer(request, response, refusal(error), 'json');
    });
  };
  const settings = {
    headersTimeout: HEAD_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
  };
  const server: Server = options.certificate
    ? createTlsServer({ ...settings, ...options.certificate }, onRequest)
    : createServer(settings, onRequest);
  server.on('checkContinue', onRequest);
  server.maxConnections = CONNECTIONS_MAX;

  await listen(server, options.host, options.port);
  return {
    url: urlOf(server, options.certificate ? 'https' : 'http'),
    close: async () => {
      closing = true;
      const cut = setTimeout(() => server.closeAllConnections(), CLOSE_MS_MAX);
      await new Promise((resolve) => server.close(resolve));
      clearTimeout(cut);
    },
  };
}

const TEXT = { 'content-type': 'text/plain; charset=utf-8' };
const FIGURES = { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' };
const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' };

/** What the head announces; of a body in chunks nobody knows. */
const lengthOf = ({ headers }: IncomingMessage) => Number(headers['content-length'] ?? 0);

const expectsContinue = (request: IncomingMessage) =>
  request.headers.expect?.toLowerCase() === '100-continue';

function encodingOf(contentType = ''): OtlpEncoding | undefined {
  const type = contentType.split(';', 1)[0]!.trim().toLowerCase();
  if (type === 'application/x-protobuf' || type === 'application/protobuf') return 'protobuf';
  return type === 'application/json' ? 'json' : undefined;
}

const refuse = (status: number, message: string) => ({ kind: 'refused', status, message }) as const;

const unsupported = (contentType: string | undefined) =>
  refuse(
    415,
    `content-type: expected application/x-protobuf or application/json, found ${JSON.stringify(contentType?.slice(0, 80) ?? 'none')}.`,
  );

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') return reject(error);
      const message = `The collector cannot listen on ${host}:${port}: something else does. Stop it, or set collector.port (0 picks a free one).`;
      reject(new LoopscopeError('port_in_use', message));
    });
    server.listen({ host, port }, resolve);
  });
}

function urlOf(server: Server, scheme: 'http' | 'https'): string {
  const { address, port, family } = server.address() as AddressInfo;
  if (address === '0.0.0.0' || address === '::') return `${scheme}://127.0.0.1:${port}`;
  return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
