import type { ProviderTarget } from '../provider.ts';

/** What the connection to a provider and whoever sends a request over it say to each other. */

export interface ProviderRequest {
  method: string;
  /** Path and query below the base URL. */
  path: string;
  /** Name, value, name, value, … without those that are for this connection only, which it adds itself. */
  headers: string[];
  body: Buffer | undefined;
}

/**
 * Told in this order: `sent`, `head`, `body` any number of times, `end`; or `failed` in place of any of them. Never before
 * `Connections.send` has returned.
 */
export interface ExchangeListener {
  /** There is a connection, and the request is on its way. */
  sent(): void;
  /** `headers`: name, value, name, value, … as they came. */
  head(status: number, statusText: string, headers: string[]): void;
  body(chunk: Buffer): void;
  end(): void;
  failed(error: ConnectionError): void;
}

/** The connection that an exchange is carried by. */
export interface Carrier {
  carries(exchange: Exchange): boolean;
  pause(): void;
  resume(): void;
  /** The exchange ends with it, and nobody is told. */
  close(): void;
}

/** A request that is sent, and its answer. When it is over, nothing here does anything. */
export class Exchange {
  readonly target: ProviderTarget;
  readonly request: ProviderRequest;
  readonly listener: ExchangeListener;
  private carrier: Carrier | undefined;
  isAborted = false;

  constructor(target: ProviderTarget, request: ProviderRequest, listener: ExchangeListener) {
    this.target = target;
    this.request = request;
    this.listener = listener;
  }

  carriedBy(carrier: Carrier): void {
    this.carrier = carrier;
  }

  /** No more of the body for now; what was read already still comes. Means nothing before the body has begun. */
  pause(): void {
    if (this.carrier?.carries(this)) this.carrier.pause();
  }

  resume(): void {
    if (this.carrier?.carries(this)) this.carrier.resume();
  }

  /** Ends it at once, and its connection. The listener is told nothing more. */
  abort(): void {
    this.isAborted = true;
    if (this.carrier?.carries(this)) this.carrier.close();
  }
}

export type Fault =
  /** A request that cannot be sent, whoever gets it. */
  | 'unsendable'
  /** We close our own connections. */
  | 'closing'
  /** No connection: refused, no such host, a certificate that is not trusted. */
  | 'connect_failed'
  /** The connection broke before the answer was whole. */
  | 'lost'
  /** What came is no HTTP. */
  | 'malformed';

export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly fault: Fault;
  /** The stable part, which names no address and no content: the system's code where it has one. */
  readonly code: string;

  constructor(fault: Fault, code: string, cause?: unknown) {
    super(`${fault}: ${code}`, { cause });
    this.fault = fault;
    this.code = code;
  }
}

/** What came is no answer; `code` says why. */
export const malformed = (code: string) => new ConnectionError('malformed', code);
