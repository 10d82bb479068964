import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { LoopscopeError } from '../../src/errors.ts';
import type { Signal } from '../../src/span/batch.ts';
import { exportsOf, refused } from './exports.ts';
import type { ReceiveOptions } from './options.ts';

/** How long the head of a request, and all of it, may take to come. */
const HEAD_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;
/** How often that is looked at. */
const TIMEOUT_CHECK_MS = 2_000;
/** Longer than senders keep idle connections, so that they are the ones to close. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
/** Past this many a new connection is closed as it comes. */
const CONNECTIONS_MAX = 10_000;
/** What is still under way this long after `close` began is cut off. */
const CLOSE_MS_MAX = 10_000;

const SIGNALS = new Map<string, Signal>([
  ['/v1/traces', 'traces'],
  ['/v1/logs', 'logs'],
  ['/v1/metrics', 'metrics'],
]);

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
  let closing = false;

  function reply(
    response: ServerResponse,
    status: number,
    headers: Record<string, string>,
    body: Buffer | string,
  ) {
    if (closing) headers['connection'] = 'close';
    response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body);
  }
  const exports = exportsOf(options, reply);

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url!.split('?', 1)[0]!;
    const signal = SIGNALS.get(path);
    if (signal) return await exports.take(request, response, signal);
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (isRead && path === '/healthz') return reply(response, 200, { ...TEXT }, 'ok');
    if (isRead && path === '/readyz') {
      const readiness = await options.readiness();
      return reply(response, readiness.ready ? 200 : 503, { ...JSON_TYPE }, JSON.stringify(readiness));
    }
    if (isRead && path === '/metrics') return reply(response, 200, { ...FIGURES }, options.metrics());
    const what = `${request.method} ${request.url!.slice(0, 200)}`;
    const message = `${what}: there is nothing here. OTLP goes to POST ${[...SIGNALS.keys()].join(', ')}.`;
    exports.refuse(request, response, refused(404, message), 'json');
  }

  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    handle(request, response).catch((error) => {
      if (response.headersSent) response.destroy();
      else exports.refuse(request, response, exports.refusal(error), 'json');
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
