import { LIMITS } from '../../span/limits.ts';
import type { Delta, GatewayError, StreamReader } from '../protocol.ts';
import { SseParser } from '../sse.ts';
import { DeltaTemplate } from './delta-template.ts';
import type { Sink, TapResult } from './tap.ts';

/**
 * Reads a stream. What most events say, a piece of text, is only put aside as bytes, and told to the reader when there is
 * enough of it or something else comes: with thousands of streams, each in its turn, what has to be fetched from memory for
 * each piece is what it costs.
 */
export class StreamTap implements Sink {
  readonly #reader: StreamReader;
  readonly #parser: SseParser;
  readonly #template: DeltaTemplate;
  /** The event that the template has learned, and the last one, with how many came with it. */
  #learned: Delta | undefined;
  #last: Delta | undefined;
  #events = 0;
  /** Text of events like the learned one that the reader was not told, and how many they are. */
  #aside = NO_BYTES;
  #asideBytes = 0;
  #asideEvents = 0;
  textChars = 0;
  isComplete = false;
  isBetweenEvents = true;
  readonly isFull = false;

  constructor(reader: StreamReader) {
    this.#reader = reader;
    this.#template = new DeltaTemplate(reader.textKeys);
    this.#parser = new SseParser((data) => {
      this.#events++;
      this.#last = reader.event(data);
    }, LIMITS.tapBytesMax);
  }

  write(chunk: Buffer): void {
    const wasBetween = this.isBetweenEvents;
    const from = wasBetween ? this.#skim(chunk) : 0;
    if (from === chunk.length) return;
    const rest = from === 0 ? chunk : chunk.subarray(from);
    this.#tell();
    this.#events = 0;
    this.#parser.push(rest);
    this.textChars = this.#reader.textChars;
    this.isComplete = this.#reader.isOver;
    this.isBetweenEvents = this.#parser.isBetweenEvents;
    const isOne = wasBetween && this.#events === 1 && this.isBetweenEvents;
    if (isOne && this.#last && this.#template.learn(rest, this.#last.piece)) this.#learned = this.#last;
  }

  /** Reads events that are like the learned one, as far as they go. Gives where they end. */
  #skim(chunk: Buffer): number {
    const template = this.#template;
    let at = 0;
    for (let end = template.match(chunk, at); end !== -1; end = template.match(chunk, at)) {
      const { textFrom, textEnd } = template;
      if (!this.#putAside(chunk, textFrom, textEnd)) {
        this.#tell();
        this.#learned!.more(chunk.toString('utf8', textFrom, textEnd), 1);
        this.textChars = this.#reader.textChars;
      }
      at = end;
    }
    return at;
  }

  /** Gives `false` for a text that is too long, or whose characters are not all bytes. */
  #putAside(bytes: Buffer, from: number, to: number): boolean {
    const length = to - from;
    if (length > ASIDE_BYTES_MAX) return false;
    if (this.#asideBytes + length > ASIDE_BYTES_MAX) this.#tell();
    if (this.#aside === NO_BYTES) this.#aside = Buffer.allocUnsafe(ASIDE_BYTES_MAX);
    const aside = this.#aside;
    const at = this.#asideBytes - from;
    for (let i = from; i < to; i++) {
      const byte = bytes[i]!;
      if (byte >= 0x80) return false;
      aside[at + i] = byte;
    }
    this.#asideBytes += length;
    this.#asideEvents++;
    this.textChars += length;
    return true;
  }

  #tell(): void {
    if (this.#asideEvents === 0) return;
    this.#learned!.more(this.#aside.toString('latin1', 0, this.#asideBytes), this.#asideEvents);
    this.#asideBytes = this.#asideEvents = 0;
    this.textChars = this.#reader.textChars;
  }

  errorEvent(error: GatewayError): Buffer {
    this.#tell();
    const event = this.#reader.errorEvent(error);
    // An event that was cut goes no further than its line.
    return Buffer.from(this.isBetweenEvents ? event : `\n${event}`);
  }

  endsShort(): boolean {
    this.#end();
    const { complete, errorType } = this.#reader.facts();
    // An event that was too large to be read may have been the last.
    return !complete && errorType === undefined && this.#parser.skipped === 0;
  }

  isGenerated(): boolean {
    return this.#reader.facts().complete;
  }

  end(): TapResult {
    this.#end();
    const answer = this.#reader.facts();
    const skipped = this.#parser.skipped > 0 ? 'too_large' : undefined;
    return { answer, errorType: answer.errorType, skipped };
  }

  #end(): void {
    this.#tell();
    this.#parser.end();
  }
}

const ASIDE_BYTES_MAX = 512;
const NO_BYTES = Buffer.alloc(0);
