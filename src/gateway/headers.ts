import { KEY_PREFIX } from '../registry/key.ts';
import type { ProviderApi } from './provider-api.ts';

/** Which headers cross the gateway. All functions take and give name, value, name, value, … as they came. */

type KeyHeaders = Pick<ProviderApi, 'keyHeaders' | 'keyHeaderValue'>;

/** Meant for one connection (RFC 9110 §7.6.1), or set anew by whoever sends on. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
]);
const NOT_FOR_PROVIDER = new Set([...HOP_BY_HOP, 'host', 'content-length']);

/** Where the SDKs of the providers put their keys. */
export const KEY_HEADERS: readonly string[] = ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key'];

/** Our own headers, in both directions. */
const OURS = /^x-loop(-|$|scope)/;

/**
 * A caller's headers as the provider gets them: without those of this connection, ours, and any virtual key.
 * `apiKey` is the gateway's for a caller that came with a virtual key only, `''` where this provider needs none. It takes
 * the place of whatever keys are there, as they may be another provider's. Without it a caller keeps its own.
 */
export function requestHeaders(
  raw: readonly string[],
  api: KeyHeaders,
  apiKey: string | undefined,
): string[] {
  const named = connectionOptions(raw);
  const kept: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    const value = raw[i + 1]!;
    if (NOT_FOR_PROVIDER.has(name) || named.has(name) || OURS.test(name) || value.includes(KEY_PREFIX))
      continue;
    if (apiKey !== undefined && (KEY_HEADERS.includes(name) || api.keyHeaders.includes(name))) continue;
    kept.push(raw[i]!, value);
  }
  if (apiKey) kept.push(api.keyHeaders[0]!, api.keyHeaderValue(apiKey));
  return kept;
}

/**
 * The same for an answer in plain bytes. Of a compressed stream nobody can say which bytes bring its last event, which is
 * to wait for its span, and no error can be put in its place.
 */
export function withPlainAnswer(headers: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2)
    if (headers[i]!.toLowerCase() !== 'accept-encoding') kept.push(headers[i]!, headers[i + 1]!);
  kept.push('accept-encoding', 'identity');
  return kept;
}

/** Whether, its virtual key aside, a request carries a key that the provider may know. */
export const hasOwnKey = (headers: Readonly<Record<string, unknown>>, api: KeyHeaders): boolean =>
  api.keyHeaders.some((name) => {
    const value = headers[name];
    return typeof value === 'string' && value !== '' && !value.includes(KEY_PREFIX);
  });

/** A provider's headers as the caller gets them, with ours. */
export function responseHeaders(raw: readonly string[], added: Record<string, string>): string[] {
  const named = connectionOptions(raw);
  const kept: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    if (!HOP_BY_HOP.has(name) && !named.has(name) && !OURS.test(name)) kept.push(raw[i]!, raw[i + 1]!);
  }
  for (const [name, value] of Object.entries(added)) kept.push(name, value);
  return kept;
}

/** A provider's reason phrase, `''` for one that Node would refuse to send on: it means nothing to a program. */
export const reasonPhrase = (text: string): string => (/^[\t\x20-\x7e]*$/.test(text) ? text : '');

/** Headers that `Connection` names as this hop's. */
function connectionOptions(raw: readonly string[]): Set<string> {
  const named = new Set<string>();
  for (let i = 0; i + 1 < raw.length; i += 2)
    if (raw[i]!.toLowerCase() === 'connection')
      for (const option of raw[i + 1]!.split(',')) named.add(option.trim().toLowerCase());
  return named;
}
