/** What the beginning of an answer tells. */

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
