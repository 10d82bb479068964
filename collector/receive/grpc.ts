import { once } from 'node:events';
import http2, {
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tokenCheck } from '../../src/bearer-token.ts';
import { LoopscopeError } from '../../src/errors.ts';
import type { Signal } from '../../src/span/batch.ts';
import { LIMITS } from '../../src/span/limits.ts';
import { type Answer, encodeAnswer } from './answer.ts';
import { frame, readMessage } from './grpc-message.ts';
import { grpcStatus } from './grpc-status.ts';
import type { Incoming } from './intake.ts';
import type { ReceiveOptions } from './options.ts';

export type GrpcOptions = Omit<ReceiveOptions, 'readiness' | 'metrics'>;

export interface GrpcReceiver {
  url: string;
  /** Takes no more calls; resolves when those under way are answered. */
  close(): Promise<void>;
}

const CONNECTIONS_MAX = 1_024;
const CALLS_PER_CONNECTION_MAX = 100;
/** A call must be over within this. */
const CALL_TIMEOUT_MS = 60_000;
/** Far longer than senders pause; one that is gone without a word is forgotten after it. */
const IDLE_TIMEOUT_MS = 300_000;
/** A sender that was told "not now" may come again after 1 to this many seconds, drawn so that they spread. */
const RETRY_AFTER_S_MAX = 4;
/** What is still under way this long after `close` began is cut off. */
const CLOSE_MS_MAX = 10_000;

const SIGNALS = new Map<string, Signal>([
  ['/opentelemetry.proto.collector.trace.v1.TraceService/Export', 'traces'],
  ['/opentelemetry.proto.collector.logs.v1.LogsService/Export', 'logs'],
  ['/opentelemetry.proto.collector.metrics.v1.MetricsService/Export', 'metrics'],
]);
const HEALTH_CHECK = '/grpc.health.v1.Health/Check';
/** `HealthCheckResponse { status: SERVING }` */
const SERVING = Buffer.from([0x08, 0x01]);

const HEADERS = {
  ':status': 200,
  'content-type': 'application/grpc',
  'grpc-accept-encoding': 'identity,gzip,deflate',
} as const;

/**
 * OTLP over gRPC: each Export is one unary call, on Node's own HTTP/2. A gRPC library hands a message over when it is
 * there whole and unpacked, so that nothing bounds what many of them hold; here the bytes are counted as they come,
 * together with those of OTLP/HTTP, and a call without the token is refused before any of them is read.
 * Throws `port_in_use`.
 */
export async function startGrpcReceiver(options: GrpcOptions): Promise<GrpcReceiver> {
  const { log, intake, certificate, onAnswer } = options;
  const bodyBytesMax = options.bodyBytesMax ?? LIMITS.otlpBodyBytesMax;
  const isAuthorized = tokenCheck(options.token);
  const settings = { maxConcurrentStreams: CALLS_PER_CONNECTION_MAX };
  const server = certificate
    ? http2.createSecureServer({ ...certificate, settings })
    : http2.createServer({ settings });
  server.maxConnections = CONNECTIONS_MAX;
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session: ServerHttp2Session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    session.on('error', (error) => log.debug({ err: error }, 'a gRPC connection failed'));
    session.setTimeout(IDLE_TIMEOUT_MS, () => session.close());
  });
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    void serve(stream, headers);
  });

  async function serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    stream.on('error', () => {}); // its sender went away: nobody is there to be answered
    const timeout = setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), CALL_TIMEOUT_MS);
    stream.on('close', () => clearTimeout(timeout));
    if (!String(headers['content-type']).startsWith('application/grpc')) {
      stream.respond({ ':status': 415 }, { endStream: true });
      return dismiss(stream);
    }
    let incoming: Incoming | undefined;
    try {
      const path = headers[':path'] ?? '';
      if (path === HEALTH_CHECK) return succeed(stream, SERVING);
      if (!isAuthorized(headers.authorization)) return refuse(stream, UNAUTHENTICATED);
      const signal = SIGNALS.get(path);
      if (signal === undefined) return refuse(stream, unknownMethod(path));
      const length = headers['content-length'];
      incoming = intake.open(length === undefined ? undefined : Number(length), isPacked(headers), () => {
        onAnswer(408);
        stream.close(http2.constants.NGHTTP2_CANCEL); // which a sender may repeat
      });
      const source = stream.iterator({ destroyOnReturn: false });
      const body = await readMessage(source, String(headers['grpc-encoding'] ?? ''), bodyBytesMax, incoming);
      incoming.arrival.over();
      const accept = () => options.accept({ signal, body, encoding: 'protobuf', repeatable: false });
      const answer = await intake.queue.run(body.length, accept);
      if (answer.kind === 'refused') return refuse(stream, answer);
      onAnswer(200);
      succeed(stream, encodeAnswer(answer, 'protobuf', signal).body);
    } catch (error) {
      if (!isOver(stream)) refuse(stream, refusal(error));
    } finally {
      incoming?.arrival.over();
      incoming?.lease.release();
    }
  }

  function succeed(stream: ServerHttp2Stream, message: Buffer): void {
    if (isOver(stream)) return;
    stream.respond(HEADERS, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(frame(message));
    stream.resume(); // a message that nobody asked for would keep the stream from its end
  }

  function refuse(stream: ServerHttp2Stream, refused: Refused): void {
    onAnswer(refused.status);
    log.debug({ status: refused.status, reason: refused.message }, 'an export call was refused');
    if (isOver(stream)) return;
    stream.respond({ ...HEADERS, ...grpcStatus(refused) }, { endStream: true });
    dismiss(stream);
  }

  function refusal(error: unknown): Refused {
    if (error instanceof LoopscopeError) {
      const retryAfterS = error.retryable ? 1 + Math.floor(options.random() * RETRY_AFTER_S_MAX) : undefined;
      return { kind: 'refused', status: error.status, message: error.message, retryAfterS };
    }
    log.error({ err: error }, 'a bug: an export call failed unexpectedly');
    return { kind: 'refused', status: 500, message: 'The collector failed unexpectedly; its log says more.' };
  }

  await listen(server, options.host, options.port);
  return {
    url: urlOf(server.address() as AddressInfo, certificate !== undefined),
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const session of sessions) session.close();
      const cut = setTimeout(() => {
        for (const session of sessions) session.destroy();
      }, CLOSE_MS_MAX);
      await closed;
      clearTimeout(cut);
    },
  };
}

const isPacked = (headers: IncomingHttpHeaders) => (headers['grpc-encoding'] ?? 'identity') !== 'identity';

/** Whether it was reset, by either side: there is nobody to answer, and `respond` would throw. */
const isOver = (stream: ServerHttp2Stream) => stream.closed || stream.destroyed;

/** Once it is answered: its sender need not send the rest, and what comes until it knows is thrown away. */
function dismiss(stream: ServerHttp2Stream): void {
  stream.resume();
  if (!stream.readableEnded) stream.close(http2.constants.NGHTTP2_NO_ERROR);
}

type Refused = Extract<Answer, { kind: 'refused' }>;

const UNAUTHENTICATED: Refused = {
  kind: 'refused',
  status: 401,
  message: 'Expected the collector\'s token as "authorization: Bearer TOKEN".',
};

const unknownMethod = (path: string): Refused => ({
  kind: 'refused',
  status: 404,
  message: `${path.slice(0, 200)}: there is no such method. OTLP goes to ${[...SIGNALS.keys()].join(', ')}.`,
});

async function listen(server: Http2Server | Http2SecureServer, host: string, port: number): Promise<void> {
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new LoopscopeError(
      'port_in_use',
      `The collector cannot listen on ${host}:${port} for gRPC: something else does. Stop it, or set collector.grpc_port (LOOPSCOPE_COLLECTOR_GRPC_PORT; 0 picks a free one).`,
    );
  }
}

function urlOf({ address, port, family }: AddressInfo, secure: boolean): string {
  const scheme = secure ? 'https' : 'http';
  if (address === '0.0.0.0' || address === '::') return `${scheme}://127.0.0.1:${port}`;
  return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
