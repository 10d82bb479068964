import { EndOfTurn } from '../end-of-turn.ts';
import type { ProviderTarget } from '../provider.ts';
import { Connection, type ConnectionOwner, type Server } from './connection.ts';
import { ConnectionError, Exchange, type ExchangeListener, type ProviderRequest } from './exchange.ts';
import { requestHead } from './request-head.ts';

/**
 * Connections to providers, kept for the next request. HTTP/1.1: a call has its connection to itself, and a hang-up ends
 * just that one.
 *
 * Why not one of the known clients: with undici a call took a tenth more of the processor at full load, and so did a piece of
 * a stream. Here nothing stands between the socket and the call: no stream, no copy of a body but one, no event of a library.
 */
export class Connections implements ConnectionOwner {
  private readonly servers = new Map<string, NamedServer>();
  private readonly open = new Set<Connection>();
  private readonly sending = new EndOfTurn<Exchange>((exchanges) => {
    for (const exchange of exchanges) if (!exchange.isAborted) this.begin(exchange);
  });
  /** All to the end of the turn, however many there are. */
  private readonly resting = new EndOfTurn<Connection>((connections) => {
    // Later than what was sent in this turn: a server may close right behind its answer, and that is heard in the next.
    this.sending.doNow();
    for (const connection of connections) connection.server.idle.push(connection);
  }, Number.POSITIVE_INFINITY);
  private readonly timer: NodeJS.Timeout;
  /** Seconds, as far as the timer counted. */
  private nowS = 0;
  private destroyed: PromiseWithResolvers<void> | undefined;

  constructor() {
    this.timer = setInterval(() => this.sweep(), 1_000).unref();
  }

  /**
   * Sends a request to where `target` is, as soon as the event loop has heard all that is new, or much of it. So the other
   * side is woken once for many requests, and none goes over a connection that is known by then to be closed. Follows no
   * redirects and tries nothing twice.
   */
  send(target: ProviderTarget, request: ProviderRequest, listener: ExchangeListener): Exchange {
    const exchange = new Exchange(target, request, listener);
    this.sending.add(exchange);
    return exchange;
  }

  private begin(exchange: Exchange): void {
    const { target, request, listener } = exchange;
    const { origin, basePath } = target;
    const { method, path, headers, body } = request;
    try {
      if (this.destroyed) throw new ConnectionError('closing', 'CONNECTIONS_CLOSED');
      const server = this.servers.get(origin) ?? this.newServer(origin);
      const head = requestHead(method, basePath + path || '/', server.name, headers, body?.length);
      this.connectionTo(server).carry(exchange, head);
    } catch (error) {
      const isTold = error instanceof ConnectionError;
      listener.failed(isTold ? error : new ConnectionError('unsendable', 'FAILED', error));
    }
  }

  freed(connection: Connection, keptS: number | undefined): void {
    const idleS = keptS === undefined ? IDLE_S : Math.min(keptS - MARGIN_S, IDLE_S_MAX);
    connection.idleUntil = this.nowS + idleS;
    if (idleS > 0) this.resting.add(connection);
    else connection.close();
  }

  closed(connection: Connection): void {
    this.open.delete(connection);
    if (this.open.size === 0) this.destroyed?.resolve();
  }

  /** Closes all; whoever waits for an answer hears that it is `closing`. */
  destroy(): Promise<void> {
    if (this.destroyed) return this.destroyed.promise;
    this.destroyed = Promise.withResolvers();
    clearInterval(this.timer);
    if (this.open.size === 0) this.destroyed.resolve();
    for (const connection of this.open) connection.fail(new ConnectionError('closing', 'CONNECTIONS_CLOSED'));
    return this.destroyed.promise;
  }

  private connectionTo(server: Server): Connection {
    const { idle } = server;
    for (let last = idle.pop(); last; last = idle.pop()) if (this.isUsable(last)) return last;
    const connection = new Connection(server, this);
    this.open.add(connection);
    return connection;
  }

  /** Closes it where it has waited for too long: the server may be about to do so. */
  private isUsable(idle: Connection): boolean {
    if (idle.idleUntil <= this.nowS) idle.close();
    return idle.isOpen;
  }

  private sweep(): void {
    this.nowS++;
    for (const server of this.servers.values())
      server.idle = server.idle.filter((connection) => this.isUsable(connection));
  }

  private newServer(origin: string): NamedServer {
    const { protocol, host: name, hostname, port } = new URL(origin);
    const isSecure = protocol === 'https:';
    const server: NamedServer = {
      name,
      isSecure,
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port) || (isSecure ? 443 : 80),
      idle: [],
      tlsSession: undefined,
    };
    this.servers.set(origin, server);
    return server;
  }
}

interface NamedServer extends Server {
  /** As `host` has it. */
  readonly name: string;
}

/** Servers that say nothing about it keep them for longer: of those in use Node's are the least patient, with 5 s. */
const IDLE_S = 4;
const IDLE_S_MAX = 600;
/** The server counts from when it sent, we from when it came. */
const MARGIN_S = 2;
