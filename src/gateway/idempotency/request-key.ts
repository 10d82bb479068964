import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { LoopscopeError } from '../../errors.ts';
import type { Protocol } from '../protocol.ts';

/**
 * Under which key the answer to a request is recorded, and what tells that request from another with the same key.
 *
 * A key belongs to a loop and to the credentials it came with. Without a virtual key the name of a loop is only a
 * claim, and whoever makes it must not be given what was said to somebody else; hashed, because a secret is not kept.
 */
export interface KeyedRequest {
  /** As the request names it, by its path. */
  provider: string;
  protocol: Pick<Protocol, 'api' | 'keyHeaders'>;
  loop: string;
  method: string;
  /** Path and query below the provider's base URL. */
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer | undefined;
}

/** As long as Stripe's, which most clients' keys are made for. */
const KEY_LENGTH_MAX = 255;
const KEY = /^[\x20-\x7e]+$/;

/**
 * The `Idempotency-Key` of a request, as it came; quotes, which draft-ietf-httpapi-idempotency-key-header has and
 * most clients leave out, are part of it. `undefined` where there is none, and for a method that changes nothing:
 * its answer is to be today's. Throws `bad_input`.
 */
export function idempotencyKey(method: string, headers: IncomingHttpHeaders): string | undefined {
  const value = headers['idempotency-key'];
  if (value === undefined || method === 'GET' || method === 'HEAD' || method === 'OPTIONS') return undefined;
  if (typeof value === 'string' && value.length <= KEY_LENGTH_MAX && KEY.test(value)) return value;
  throw new LoopscopeError(
    'bad_input',
    `Idempotency-Key: expected one key of 1 to ${KEY_LENGTH_MAX} printable ASCII characters, such as a UUID; ` +
      `got ${JSON.stringify(String(value).slice(0, 60))}.`,
  );
}

export function recordingKey(request: KeyedRequest, key: string): string {
  return digest([request.loop, credentials(request), key]);
}

/** Of the request itself: the same key with another one is refused. */
export function requestFingerprint({ provider, method, path, body }: KeyedRequest): string {
  return digest([provider, method, path, hash('sha256', body ?? '')]);
}

/** Stands for the keys that a request came with; equal for equal ones, and tells nothing of them. */
export function credentials({ protocol, headers }: KeyedRequest): string {
  return digest(protocol.keyHeaders.map((name) => String(headers[name] ?? '')));
}

/** One hash of several texts, whatever is in them. */
export const digest = (parts: readonly string[]): string => hash('sha256', JSON.stringify(parts));
