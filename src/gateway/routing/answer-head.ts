import type { Dispatcher } from 'undici';

/** What the beginning of an answer tells. */

/** Headers as the connection gives them, or parsed. */
export type RawHeaders = NonNullable<Dispatcher.DispatchController['rawHeaders']>;

/**
 * Whether the first event of a stream is an error. Providers that are overloaded say so in a stream when they have
 * promised one; what the caller did wrong they say in the status.
 */
export const beginsWithError = (chunk: Buffer): boolean =>
  ERROR_EVENT.test(chunk.toString('latin1', 0, ERROR_EVENT_CHARS));

const ERROR_EVENT = /^(event: ?error\s|data: ?\{ ?"error": ?\{|data: ?\{ ?"type": ?"error")/;
const ERROR_EVENT_CHARS = 32;

/** `headers`: name, value, name, value, … */
export function isEventStream(headers: readonly string[]): boolean {
  for (let i = 0; i + 1 < headers.length; i += 2)
    if (headers[i]!.toLowerCase() === 'content-type')
      return headers[i + 1]!.toLowerCase().startsWith('text/event-stream');
  return false;
}

/** Headers as they came, in their order and spelling: name, value, name, value, … */
export function rawHeaders(headers: RawHeaders): string[] {
  if (Array.isArray(headers))
    return headers.map((part) => (typeof part === 'string' ? part : part.toString('latin1')));
  return Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().flatMap((one) => [name, one]),
  );
}
