import { Agent, type Dispatcher } from 'undici';
import type { ProviderConfig } from '../config.ts';

/** A provider as the gateway calls it; keys stay bound to this origin. */
export interface ProviderTarget {
  origin: string;
  /** Path of the base URL, without a slash at its end. */
  basePath: string;
  address: string;
  port: number;
  apiKey: string | undefined;
  /** Variable that should hold the key; `undefined` where the provider needs none. */
  apiKeyEnv: string | undefined;
}

export function providerTarget({ base_url, api_key, api_key_env }: ProviderConfig): ProviderTarget {
  const url = new URL(base_url);
  return {
    origin: url.origin,
    basePath: url.pathname.replace(/\/+$/, ''),
    address: url.hostname,
    port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
    apiKey: api_key || undefined,
    apiKeyEnv: api_key_env,
  };
}

/** A model may think for long before it says a word; the caller's own timeout comes first. */
const SILENCE_MS_MAX = 15 * 60_000;

/** Connections to providers. HTTP/1.1: a call has its connection to itself, and a hang-up ends just that one. */
export const openConnections = (): Agent =>
  new Agent({ headersTimeout: SILENCE_MS_MAX, bodyTimeout: SILENCE_MS_MAX, allowH2: false });

export interface ProviderRequest {
  method: string;
  /** Path and query below the base URL. */
  path: string;
  headers: string[];
  body: Buffer | undefined;
}

/** What comes back, in this order: `start` once, `data` any number of times, then `end` or `fail`. */
export interface ProviderListener {
  start(status: number, statusText: string, headers: string[]): void;
  /** Gives `false` when no more is wanted until `resume`. */
  data(chunk: Buffer): boolean;
  end(): void;
  /** The provider could not be reached, or broke off. Not called after `cancel`. */
  fail(error: Error): void;
}

export interface ProviderCall {
  /** Asks for more after `data` gave `false`. */
  resume(): void;
  /** Ends the call at once, wherever it is. Nothing is told to the listener afterwards. */
  cancel(): void;
}

/** Sends one request and passes on what comes, chunk by chunk. Follows no redirects and tries nothing twice. */
export function callProvider(
  connections: Dispatcher,
  target: ProviderTarget,
  request: ProviderRequest,
  listener: ProviderListener,
): ProviderCall {
  let controller: Dispatcher.DispatchController | undefined;
  let cancelled = false;
  const abort = () => controller?.abort(new Error('the caller hung up'));
  connections.dispatch(
    {
      origin: target.origin,
      path: target.basePath + request.path || '/',
      method: request.method,
      headers: request.headers,
      body: request.body,
    },
    {
      onRequestStart: (c) => {
        controller = c;
        if (cancelled) abort();
      },
      onResponseStart: (c, status, headers, statusText) => {
        if (status < 200 || cancelled) return;
        listener.start(status, statusText ?? '', rawHeaders(c.rawHeaders ?? headers));
      },
      onResponseData: (c, chunk) => {
        if (!cancelled && !listener.data(chunk)) c.pause();
      },
      onResponseEnd: () => {
        if (!cancelled) listener.end();
      },
      onResponseError: (_, error) => {
        if (!cancelled) listener.fail(error);
      },
    },
  );
  return {
    resume: () => controller?.resume(),
    cancel: () => {
      cancelled = true;
      abort();
    },
  };
}

function rawHeaders(headers: NonNullable<Dispatcher.DispatchController['rawHeaders']>): string[] {
  if (Array.isArray(headers))
    return headers.map((part) => (typeof part === 'string' ? part : part.toString('latin1')));
  return Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().flatMap((one) => [name, one]),
  );
}
