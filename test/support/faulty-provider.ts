import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * A provider on loopback that fails in the ways providers do, down to the bytes: it writes HTTP to its sockets
 * itself, because a library's server refuses to send what is wrong.
 *
 *     const provider = await startFaultyProvider();
 *     provider.next(tooMany('2'), cut({ how: 'rst' }));     // the next two requests; then `fallback`
 *     await provider.refuse();                              // nothing listens there
 *     await provider.accept();                              // again, at the same URL
 *     await provider.close();
 *
 * A fault gets the socket of its request, and does with it what it likes. `provider.requests` says what came, and
 * `openSockets` whether anything was left open.
 */
export type Fault = (socket: Socket, request: FaultyRequest) => void | Promise<void>;

export interface FaultyRequest {
  method: string;
  path: string;
  /** Names in lower case. */
  headers: Record<string, string>;
  body: Buffer;
}

export interface FaultyProvider {
  readonly url: string;
  readonly port: number;
  /** Requests so far, in the order in which they were complete. */
  readonly requests: FaultyRequest[];
  /** What the next requests get, each once, in order; after that `fallback`. */
  next(...faults: Fault[]): void;
  /** A sound answer, unless it is changed. */
  fallback: Fault;
  /** Connections that are open now. */
  readonly openSockets: number;
  /** Stops listening and closes what is open: connections are refused. */
  refuse(): Promise<void>;
  /** Listens again where it did. */
  accept(): Promise<void>;
  close(): Promise<void>;
}

export async function startFaultyProvider(
  fallback: Fault = answer({ body: '{"ok":true}' }),
): Promise<FaultyProvider> {
  const queue: Fault[] = [];
  const requests: FaultyRequest[] = [];
  const sockets = new Set<Socket>();
  let server: Server | undefined;
  let port = 0;
  const listen = async () => {
    server = createServer((socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => {}); // a fault's own doing
      serve(socket);
    });
    const listening = Promise.withResolvers<void>();
    server.once('error', listening.reject);
    server.listen(port, '127.0.0.1', listening.resolve);
    await listening.promise;
    port = (server.address() as AddressInfo).port;
  };
  const stop = async () => {
    const closed = Promise.withResolvers<void>();
    server?.close(() => closed.resolve());
    for (const socket of sockets) socket.destroy();
    await closed.promise;
    server = undefined;
  };
  const serve = (socket: Socket) => {
    let bytes = Buffer.alloc(0);
    let answered: Promise<void> = Promise.resolve();
    // Always read on: else a caller that leaves would go unnoticed.
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      for (let read = readRequest(bytes); read; read = readRequest(bytes)) {
        const { request } = read;
        bytes = bytes.subarray(read.length);
        answered = answered
          .then(() => {
            requests.push(request);
            return (queue.shift() ?? provider.fallback)(socket, request);
          })
          .catch(() => void socket.destroy());
      }
    });
  };
  await listen();
  const provider: FaultyProvider = {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    next: (...faults) => void queue.push(...faults),
    fallback,
    get openSockets() {
      return sockets.size;
    },
    refuse: stop,
    accept: listen,
    close: async () => {
      if (server) await stop();
    },
  };
  return provider;
}

/** The first request in `bytes`, once it is whole. Its body has a length; what callers here send has one. */
function readRequest(bytes: Buffer): { request: FaultyRequest; length: number } | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd === -1) return undefined;
  const [line = '', ...fields] = bytes.toString('latin1', 0, headEnd).split('\r\n');
  const headers: Record<string, string> = {};
  for (const field of fields) {
    const colon = field.indexOf(':');
    headers[field.slice(0, colon).toLowerCase()] = field.slice(colon + 1).trim();
  }
  const bodyAt = headEnd + '\r\n\r\n'.length;
  const length = bodyAt + Number(headers['content-length'] ?? 0);
  if (bytes.length < length) return undefined;
  const [method = '', path = ''] = line.split(' ');
  return { request: { method, path, headers, body: bytes.subarray(bodyAt, length) }, length };
}

export interface Answered {
  status?: number;
  headers?: Record<string, string>;
  body?: string;
}

const head = (status: number, headers: Record<string, string>): string =>
  `HTTP/1.1 ${status} Status ${status}\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`;

const JSON_TYPE = { 'content-type': 'application/json' };
const SSE_TYPE = { 'content-type': 'text/event-stream', 'transfer-encoding': 'chunked' };
const inChunk = (data: string): string => `${Buffer.byteLength(data).toString(16)}\r\n${data}\r\n`;
const LAST_CHUNK = '0\r\n\r\n';

/** A sound answer. */
export const answer =
  ({ status = 200, headers = {}, body = '' }: Answered = {}): Fault =>
  (socket) => {
    const length = { 'content-length': String(Buffer.byteLength(body)) };
    socket.write(head(status, { ...JSON_TYPE, ...length, ...headers }) + body);
  };

/** A sound stream, all of it at once, or a piece every `everyMs`: a trickle. */
export const stream =
  (pieces: string[], everyMs = 0): Fault =>
  async (socket) => {
    socket.write(head(200, SSE_TYPE));
    for (const piece of pieces) {
      if (everyMs > 0) await delay(everyMs);
      if (socket.destroyed) return;
      socket.write(inChunk(piece));
    }
    socket.write(LAST_CHUNK);
  };

/** An error as OpenAI words it. */
export const failure = (status: number, headers: Record<string, string> = {}): Fault =>
  answer({
    status,
    headers,
    body: JSON.stringify({ error: { message: 'No.', type: 'server_error', param: null, code: null } }),
  });

/** 429, with `retry-after` where given: seconds or a date. */
export const tooMany = (retryAfter?: string): Fault =>
  failure(429, retryAfter === undefined ? {} : { 'retry-after': retryAfter });

/** Anthropic's 529. */
export const overloaded = (): Fault =>
  answer({
    status: 529,
    body: JSON.stringify({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }),
  });

export const redirect = (location: string, status = 307): Fault => answer({ status, headers: { location } });

/** Reads the request and says nothing, until the caller leaves. */
export const hang = (): Fault => () => new Promise<void>(() => {});

/** Headers and `pieces` of a stream, then nothing, until the caller leaves. */
export const hangInStream =
  (pieces: string[] = []): Fault =>
  (socket) => {
    socket.write(head(200, SSE_TYPE) + pieces.map(inChunk).join(''));
    return new Promise<void>(() => {});
  };

/** An error whose body never comes to its end. */
export const hangInError =
  (status: number): Fault =>
  (socket) => {
    socket.write(`${head(status, { ...JSON_TYPE, 'content-length': '100' })}{"error"`);
    return new Promise<void>(() => {});
  };

/**
 * Closes the connection after `pieces` of a stream, with FIN or with RST; without pieces before the headers. A short
 * while lies between the last piece and the end, because RST overtakes what the other side has not read yet.
 */
export const cut =
  ({ how, pieces }: { how: 'fin' | 'rst'; pieces?: string[] }): Fault =>
  async (socket) => {
    if (pieces) socket.write(head(200, SSE_TYPE) + pieces.map(inChunk).join(''));
    await delay(pieces ? 20 : 0);
    if (how === 'rst') socket.resetAndDestroy();
    else socket.end();
  };

/** Says `declared` bytes, sends `body`, and closes. */
export const wrongLength =
  (declared: number, body: string): Fault =>
  async (socket) => {
    socket.write(head(200, { ...JSON_TYPE, 'content-length': String(declared) }) + body);
    await delay(20);
    socket.end();
  };

/** Bytes that are no HTTP. */
export const noHttp = (): Fault => (socket) => void socket.end('SSH-2.0-OpenSSH_9.2\r\n');

/** A stream of what an SSE parser may choke on: no blank lines, half JSON, NUL, bad UTF-8, an event without data. */
export const malformedSse = (): Fault => (socket) => {
  const pieces = ['data: {"id":1,"cho', 'ices":[\n', 'event\n\n', ':\n\u0000\n', 'data: [DONE'];
  socket.write(head(200, SSE_TYPE) + pieces.map(inChunk).join(''));
  socket.write(Buffer.concat([Buffer.from('2\r\n'), Buffer.from([0xff, 0xfe]), Buffer.from('\r\n')]));
  socket.write(LAST_CHUNK);
};
