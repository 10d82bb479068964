import { readFileSync } from 'node:fs';
import { getCACertificates } from 'node:tls';
import { Agent, fetch as fetchBy } from 'undici';
import type { Config } from './config.ts';
import { LoopscopeError } from './errors.ts';

/** What those of ours that send to the collector trust, when it speaks TLS: the gateway, `import` and `doctor`. */

/** As much of `fetch` as they need. */
export type Fetch = (
  url: string,
  init: {
    method?: string;
    headers?: Record<string, string>;
    body?: string;
    signal?: AbortSignal;
    redirect?: 'manual';
  },
) => Promise<Answer>;

interface Answer {
  ok: boolean;
  status: number;
  headers: { get(name: string): string | null };
  body: { cancel(): Promise<void> } | null;
  text(): Promise<string>;
}

/**
 * Certificates in PEM: the system's, and `collector.ca_file` or else the collector's own, which may be self-signed.
 * `undefined` for the system's alone. Throws `config_invalid`.
 */
export function collectorAuthorities({
  ca_file,
  tls,
}: Pick<Config['collector'], 'ca_file' | 'tls'>): string[] | undefined {
  const path = ca_file ?? tls?.cert_file;
  if (path === undefined) return undefined;
  try {
    return [...getCACertificates('default'), readFileSync(path, 'utf8')];
  } catch (error) {
    const setting = ca_file === undefined ? 'tls.cert_file' : 'ca_file';
    throw new LoopscopeError(
      'config_invalid',
      `collector.${setting}: cannot be read: ${(error as Error).message}.`,
    );
  }
}

/** `fetch` that trusts `authorities`, and nobody else is sent anything by it. */
export function fetchTrusting(authorities: string[] | undefined): Fetch {
  if (!authorities) return fetch;
  const dispatcher = new Agent({ connect: { ca: authorities } });
  return (url, init) => fetchBy(url, { ...init, dispatcher });
}
