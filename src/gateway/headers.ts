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

/** What a name means, however it is spelt. */
interface Name {
  lower: string;
  /** Whether it never crosses, on the way to the provider and on the way back. */
  isNotForProvider: boolean;
  isNotForCaller: boolean;
}

/** A few names come all the time. */
const names = new Map<string, Name>();
const NAMES_MAX = 1_000;
const NAME_CHARS_MAX = 64;

function nameOf(spelt: string): Name {
  const known = names.get(spelt);
  if (known) return known;
  const lower = spelt.toLowerCase();
  const isOurs = OURS.test(lower);
  const name = {
    lower,
    isNotForProvider: isOurs || NOT_FOR_PROVIDER.has(lower),
    isNotForCaller: isOurs || HOP_BY_HOP.has(lower),
  };
  if (names.size < NAMES_MAX && spelt.length <= NAME_CHARS_MAX) names.set(spelt, name);
  return name;
}

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
    const { lower, isNotForProvider } = nameOf(raw[i]!);
    const value = raw[i + 1]!;
    if (isNotForProvider || named?.has(lower) || value.includes(KEY_PREFIX)) continue;
    if (apiKey !== undefined && (KEY_HEADERS.includes(lower) || api.keyHeaders.includes(lower))) continue;
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
    const { lower, isNotForCaller } = nameOf(raw[i]!);
    if (!isNotForCaller && !named?.has(lower)) kept.push(raw[i]!, raw[i + 1]!);
  }
  for (const name in added) kept.push(name, added[name]!);
  return kept;
}

/** A provider's reason phrase, `''` for one that Node would refuse to send on: it means nothing to a program. */
export const reasonPhrase = (text: string): string => (/^[\t\x20-\x7e]*$/.test(text) ? text : '');

/** Headers that `Connection` names as this hop's; `undefined` where there is no such header. */
function connectionOptions(raw: readonly string[]): Set<string> | undefined {
  let named: Set<string> | undefined;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (nameOf(raw[i]!).lower !== 'connection') continue;
    named ??= new Set();
    for (const option of raw[i + 1]!.split(',')) named.add(option.trim().toLowerCase());
  }
  return named;
}
