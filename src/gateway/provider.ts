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
