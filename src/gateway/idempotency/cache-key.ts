import { isUtf8 } from 'node:buffer';
import { asObject, type Json } from '../protocol.ts';
import { credentials, digest, type KeyedRequest } from './request-key.ts';

/**
 * Which calls may be answered from a loop's cache, and what makes two of them the same.
 *
 * Whoever turns the cache on for a loop says that its calls may be repeated. Even so a call passes it by that asks for
 * variety, that leaves something at the provider or refers to what is there, or that cannot be compared exactly.
 * Where in doubt two calls are different.
 */
export interface CacheableRequest extends KeyedRequest {
  /** The body as JSON. */
  json: unknown;
  /** Whether a virtual key proved which loop it is. */
  virtualKey: boolean;
}

/**
 * Paths whose answer depends on the request alone → fields that neither change the answer nor come back in it.
 * `stream` and `stream_options` do change it. The Responses API repeats all it was told in its answer.
 */
const IGNORED_FIELDS: Record<string, readonly string[]> = {
  'openai /chat/completions': ['user', 'safety_identifier', 'prompt_cache_key', 'metadata'],
  'openai /completions': ['user'],
  'openai /embeddings': ['user'],
  'openai /responses': [],
  'anthropic /v1/messages': ['metadata'],
};

/** They change what an answer looks like or whose it is; a compressed one is only for who can read it. */
const VARYING_HEADERS = [
  'accept-encoding',
  'anthropic-version',
  'anthropic-beta',
  'openai-beta',
  'openai-organization',
  'openai-project',
];

/** Reading a larger one twice costs more than it can save. */
const BODY_BYTES_MAX = 1024 * 1024;
const DEPTH_MAX = 64;

/** The key under which a call's answer is cached, or `undefined` for one that is not to be. */
export function cacheKey(request: CacheableRequest): string | undefined {
  const { protocol, method, path, body } = request;
  const name = `${protocol.api} ${path}`;
  if (method !== 'POST' || !Object.hasOwn(IGNORED_FIELDS, name)) return undefined;
  const json = asObject(request.json);
  if (
    !body ||
    body.length > BODY_BYTES_MAX ||
    !isUtf8(body) ||
    !json ||
    !isRepeatable(json, path === '/responses')
  )
    return undefined;
  const ignored = IGNORED_FIELDS[name]!;
  const content = canonicalObject(json, ignored, 0);
  if (content === undefined) return undefined;
  return digest([
    name,
    request.provider,
    request.loop,
    // A loop's own agents share its answers; without a virtual key only who has the same key at the provider.
    request.virtualKey ? '' : credentials(request),
    content,
    ...VARYING_HEADERS.map((header) => String(request.headers[header] ?? '')),
  ]);
}

/** Whether a call asks neither for another answer each time nor to keep or continue something at the provider. */
function isRepeatable(body: Json, storesByDefault: boolean): boolean {
  const { temperature, n } = body;
  const varied = (typeof temperature === 'number' && temperature > 0) || (typeof n === 'number' && n > 1);
  const stateful =
    (body['store'] ?? storesByDefault) !== false ||
    (body['background'] ?? false) !== false ||
    ['previous_response_id', 'conversation', 'container'].some((field) => (body[field] ?? null) !== null);
  return !varied && !stateful;
}

/** A value as JSON with sorted keys; `undefined` for one that reading has already changed, or nested too deep. */
function canonical(value: unknown, depth: number): string | undefined {
  // An integer past 2^53 may stand for several: two different bodies would be the same.
  if (
    typeof value === 'number' &&
    !(Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value))
  )
    return undefined;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (!Array.isArray(value)) return canonicalObject(value as Json, [], depth);
  if (depth >= DEPTH_MAX) return undefined;
  const parts: string[] = [];
  for (const item of value) {
    const part = canonical(item, depth + 1);
    if (part === undefined) return undefined;
    parts.push(part);
  }
  return `[${parts.join(',')}]`;
}

function canonicalObject(object: Json, ignored: readonly string[], depth: number): string | undefined {
  if (depth >= DEPTH_MAX) return undefined;
  const parts: string[] = [];
  for (const key of Object.keys(object).sort()) {
    if (ignored.includes(key)) continue;
    const part = canonical(object[key], depth + 1);
    if (part === undefined) return undefined;
    parts.push(`${JSON.stringify(key)}:${part}`);
  }
  return `{${parts.join(',')}}`;
}
