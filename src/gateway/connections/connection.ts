import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { FewATurn } from '../few-a-turn.ts';
import { type Carrier, ConnectionError, type Exchange, type Fault } from './exchange.ts';
import type { ResponseHead } from './response-head.ts';
import { type ResponseEvents, ResponseReader } from './response-reader.ts';

/** A server, as all connections to it know it. */
export interface Server {
  readonly isSecure: boolean;
  /** A name or an address. */
  readonly host: string;
  readonly port: number;
  /** Connections that carry nothing, the one that was used last at the end; some may be closed. */
  idle: Connection[];
  /** The last one that it gave, so that the next handshake is short. */
  tlsSession: Buffer | undefined;
}

export interface ConnectionOwner {
  /** It can carry another request. `keptS`: for how many seconds, where the server said so. */
  freed(connection: Connection, keptS: number | undefined): void;
  closed(connection: Connection): void;
}

/**
 * A connection over which one request after the other is sent, each when the answer to the one before is there.
 *
 * All connections read into one buffer, and what came is copied out of it at once: a buffer of its own for each read, large
 * enough for anything, costs more than a small copy.
 *
 * Where many answers come in small pieces, a request, or the first words of an answer, would wait behind all the pieces that
 * are new. So the pieces that follow give way: they are read at the end of the turn, a few in each, and what came of an
 * answer until then is read as one.
 */
export class Connection implements Carrier, ResponseEvents {
  readonly server: Server;
  /** When it has waited for long enough, as its owner counts. */
  idleUntil = 0;
  private readonly owner: ConnectionOwner;
  private readonly socket: Socket;
  private readonly reader = new ResponseReader(this);
  private exchange: Exchange | undefined;
  private isConnected = false;
  private headToSend = '';
  private isPaused = false;
  /** Whether some of an answer's body was told. */
  private hasBegun = false;
  private unread: Buffer | undefined;
  private isKept = false;
  private keptS: number | undefined;
  private error: NodeJS.ErrnoException | undefined;

  /** Begins to connect. */
  constructor(server: Server, owner: ConnectionOwner) {
    this.server = server;
    this.owner = owner;
    this.socket = this.open();
    this.socket.once(server.isSecure ? 'secureConnect' : 'connect', () => this.connected());
    this.socket.on('error', (error) => {
      this.error = error;
    });
    this.socket.on('end', () => this.ended());
    this.socket.on('close', () => {
      this.lost();
      owner.closed(this);
    });
  }

  private open(): Socket {
    const { server } = this;
    const { host, port } = server;
    const onread = {
      buffer: READ_BUFFER,
      callback: (length: number) => {
        this.received(length);
        return true;
      },
    };
    const options = { host, port, onread, noDelay: true, keepAlive: true, keepAliveInitialDelay: PROBE_MS };
    if (!server.isSecure) return connect(options);
    const servername = isIP(host) === 0 ? host : '';
    const session = server.tlsSession;
    const socket = connectTls({ ...options, servername, session, ALPNProtocols: ['http/1.1'] });
    socket.on('session', (fresh) => {
      server.tlsSession = fresh;
    });
    return socket;
  }

  /** Whether it can carry a request. */
  get isOpen(): boolean {
    return !this.socket.destroyed && this.exchange === undefined;
  }

  /** Sends a request now, or when it is connected. `head`: of the request, a character is a byte. */
  carry(exchange: Exchange, head: string): void {
    this.exchange = exchange;
    this.hasBegun = false;
    this.reader.expect(exchange.request.method);
    exchange.carriedBy(this);
    if (this.isConnected) this.write(exchange, head);
    else this.headToSend = head;
  }

  private connected(): void {
    this.isConnected = true;
    if (this.exchange) this.write(this.exchange, this.headToSend);
    this.headToSend = '';
  }

  private write(exchange: Exchange, head: string): void {
    const { socket } = this;
    const { body } = exchange.request;
    if (body === undefined) socket.write(head, 'latin1');
    // As one text it goes out without a detour; a byte is a character of Latin-1.
    else if (head.length + body.length <= ONE_WRITE_BYTES_MAX)
      socket.write(head + body.toString('latin1'), 'latin1');
    else {
      socket.cork();
      socket.write(head, 'latin1');
      socket.write(body);
      socket.uncork();
    }
    try {
      exchange.listener.sent();
    } catch (cause) {
      this.failed(exchange, cause);
    }
  }

  private received(length: number): void {
    const { exchange } = this;
    if (exchange === undefined) {
      this.close(); // nobody asked for it
      return;
    }
    const bytes = Buffer.allocUnsafe(length);
    READ_BUFFER.copy(bytes, 0, 0, length);
    if (this.hasBegun) this.giveWay(exchange, bytes);
    else this.read(exchange, bytes);
  }

  private giveWay(exchange: Exchange, bytes: Buffer): void {
    const { unread } = this;
    const all = unread ? Buffer.concat([unread, bytes]) : bytes;
    this.unread = undefined;
    if (all.length > UNREAD_BYTES_MAX) {
      this.read(exchange, all);
      return;
    }
    this.unread = all;
    if (!unread) GIVING_WAY.add(this);
  }

  /** Reads what came and was left for later. */
  readOn(): void {
    const { exchange, unread } = this;
    this.unread = undefined;
    if (exchange && unread) this.read(exchange, unread);
  }

  private read(exchange: Exchange, bytes: Buffer): void {
    try {
      this.reader.read(bytes);
    } catch (cause) {
      this.failed(exchange, cause);
    }
  }

  /** What came is no answer, or who was told of it failed: that must harm nobody else. */
  private failed(exchange: Exchange, cause: unknown): void {
    const isTold = cause instanceof ConnectionError;
    const error = isTold ? cause : new ConnectionError('lost', 'LISTENER_FAILED', cause);
    if (this.exchange === exchange) this.fail(error);
    else if (!exchange.isAborted) exchange.listener.failed(error);
  }

  head({ status, statusText, headers, isKept, keptS }: ResponseHead): void {
    this.isKept = isKept;
    this.keptS = keptS;
    this.exchange?.listener.head(status, statusText, headers);
  }

  body(chunk: Buffer): void {
    this.hasBegun = true;
    this.exchange?.listener.body(chunk);
  }

  end(isLast: boolean): void {
    const { exchange, socket } = this;
    this.exchange = undefined;
    // An answer may come before all of its request is out.
    if (!this.isKept || isLast || socket.writableLength > 0) this.close();
    else {
      this.resume();
      this.owner.freed(this, this.keptS);
    }
    exchange?.listener.end();
  }

  pause(): void {
    this.isPaused = true;
    this.socket.pause();
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.socket.resume();
  }

  carries(exchange: Exchange): boolean {
    return this.exchange === exchange;
  }

  /** Whoever waits for an answer is told nothing. */
  close(): void {
    this.exchange = undefined;
    this.reader.stop();
    this.socket.destroy();
  }

  /** Whoever waits for an answer is told. */
  fail(error: ConnectionError): void {
    const { exchange } = this;
    this.close();
    exchange?.listener.failed(error);
  }

  /** The server sends no more. */
  private ended(): void {
    this.readOn();
    const { exchange } = this;
    let isWhole = false;
    try {
      isWhole = this.reader.close();
    } catch (cause) {
      this.failed(exchange!, cause);
    }
    if (!isWhole) this.lost();
    this.close();
  }

  private lost(): void {
    this.readOn();
    const { error } = this;
    const fault: Fault = this.isConnected ? 'lost' : 'connect_failed';
    this.fail(new ConnectionError(fault, error?.code ?? error?.name ?? 'CONNECTION_ENDED', error));
  }
}

/** What follows the beginning of an answer is not read before what begins. */
const GIVING_WAY = new FewATurn<Connection>((connection) => connection.readOn());
/** A connection on which so much comes is not kept waiting: it is no stream of words. */
const UNREAD_BYTES_MAX = 16 * 1024;
const READ_BUFFER = Buffer.allocUnsafeSlow(64 * 1024);
const ONE_WRITE_BYTES_MAX = 8 * 1024;
/** So that a network that drops what is silent for long does not. */
const PROBE_MS = 60_000;
