import { parseObject } from '../protocol.ts';
import { SseParser } from '../sse.ts';
import { isEventStream } from './answer-head.ts';

/**
 * The beginning of a stream, held back for as long as it says nothing: a break in it can then be made good by another
 * target, as if nothing had come.
 *
 * It cannot make good what breaks after the first word: whoever has that cannot be told to forget it, and no API can go on
 * from the middle of another's answer. Neither can it read a compressed stream, and one that is silent for long, or long in
 * coming to the point, is passed on as it is. The caller sees nothing, not even that it was accepted, before the first word.
 */
export class Opening {
  readonly #parser: SseParser;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #hasContent = false;
  /** Whether what ended it is an error. */
  failed = false;

  constructor(isOpening: (data: string) => boolean) {
    this.#parser = new SseParser((data) => {
      if (this.#hasContent || isOpening(data)) return;
      this.#hasContent = true;
      const event = parseObject(data);
      this.failed = event !== undefined && (event['type'] === 'error' || Boolean(event['error']));
    }, OPENING_BYTES_MAX);
  }

  /** Takes what came next; gives `false` once there is no more to be held back. */
  holds(chunk: Buffer): boolean {
    this.#pieces.push(chunk);
    this.#bytes += chunk.length;
    this.#parser.push(chunk);
    return !this.#hasContent && this.#bytes <= OPENING_BYTES_MAX;
  }

  /** All that came. */
  bytes(): Buffer {
    return Buffer.concat(this.#pieces, this.#bytes);
  }
}

const OPENING_BYTES_MAX = 64 * 1024;
/** A caller who knows nothing of its answer for longer may leave. */
export const OPENING_MS_MAX = 10_000;

/** Holds back the opening of an answer with these headers; `undefined` for what is no stream, or cannot be read. */
export function openingOf(
  isOpening: ((data: string) => boolean) | undefined,
  headers: readonly string[],
): Opening | undefined {
  if (!isOpening || !isEventStream(headers)) return undefined;
  for (let i = 0; i + 1 < headers.length; i += 2)
    if (headers[i]!.toLowerCase() === 'content-encoding') return undefined;
  return new Opening(isOpening);
}
