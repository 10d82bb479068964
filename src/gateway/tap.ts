import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { LIMITS } from '../span/limits.ts';
import { DeltaTemplate } from './delta-template.ts';
import {
  ANSWER_END_BYTES,
  type AnswerFacts,
  type Delta,
  type GatewayError,
  type Operation,
  type Protocol,
  parseObject,
  type StreamReader,
} from './protocol.ts';
import { SseParser } from './sse.ts';

/**
 * Reads a copy of the answer as it passes. It never holds the answer up, never fails it, and gives up rather
 * than hold more than `LIMITS.tapBytesMax`:
 * - a stream is read event by event, so its length does not matter;
 * - a JSON body is kept until it is whole; of a larger one the ends are read at most;
 * - a compressed answer is decompressed beside the caller's copy, and so is known a little later.
 */
export interface Tap {
  write(chunk: Buffer): void;
  /** Characters of a stream's answer that came so far, as far as they are kept. */
  readonly textChars: number;
  /**
   * Whether a stream's last event was read, be it an error: whoever reads along has the whole answer now. Cheap, to be
   * asked after every chunk. Always `false` for what is no stream.
   */
  readonly isComplete: boolean;
  /** Whether what came so far are whole events: a chunk that ends in the middle of one can be held back. */
  readonly isBetweenEvents: boolean;
  /**
   * What to send in place of the rest when a stream breaks, so that the caller's SDK knows. `undefined` where it cannot
   * be said: in a JSON body, or in compressed bytes. There only a cut connection tells.
   */
  errorEvent(error: GatewayError): Buffer | undefined;
  /** Asked when no more bytes come: whether what came is known to be less than a whole stream, and no error says so. */
  endsShort(): boolean;
  /** Whether the model has said all it had to say, as far as is known: what still comes tells no more than its usage. */
  isGenerated(): boolean;
  /** No more comes. Gives what could be read; at once, unless the answer was compressed. */
  end(): TapResult | Promise<TapResult>;
}

export interface TapResult {
  answer?: AnswerFacts;
  /** `error.type` from an error body. */
  errorType?: string;
  /** Why not all of it was read. */
  skipped?: 'too_large' | 'encoding' | 'malformed';
}

export interface TapOptions {
  protocol: Protocol;
  /** How to read the answer; without it only an error is read. */
  operation: Operation | undefined;
  /** Whether anybody asks for what was said in a stream, or only for usage and how it ended. */
  content: boolean;
  status: number;
  contentType: string;
  contentEncoding: string;
}

const DECODERS: Record<string, () => ReturnType<typeof createGunzip>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress as unknown as typeof createGunzip,
  zstd: createZstdDecompress as unknown as typeof createGunzip,
};

/** A stream may be long, but nothing honest is this long. */
const INFLATED_BYTES_MAX = 32 * LIMITS.tapBytesMax;

/** A tap that can say when it will read no more. */
interface Sink extends Tap {
  readonly isFull: boolean;
  end(): TapResult;
}

export function openTap(options: TapOptions): Tap {
  const sink = openSink(options);
  const encoding = options.contentEncoding.trim().toLowerCase();
  if (sink === NOTHING || encoding === '' || encoding === 'identity') return sink;
  const decoder = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
  return decoder ? new DecompressingTap(decoder(), sink) : UNREADABLE;
}

function openSink({ protocol, operation, content, status, contentType }: TapOptions): Sink {
  const failed = status >= 400;
  if (!failed && !operation) return NOTHING;
  if (operation && /^text\/event-stream\b/i.test(contentType))
    return new StreamTap(operation.readStream(content ? LIMITS.tapBytesMax : 0));
  if (/[/+]json\b/i.test(contentType)) return new JsonTap(protocol, failed ? undefined : operation);
  return NOTHING;
}

/** What is not read, for the reason in `result`. */
const unread = (result: TapResult): Sink => ({
  write: () => {},
  textChars: 0,
  isComplete: false,
  isBetweenEvents: true,
  isFull: true,
  errorEvent: () => undefined,
  endsShort: () => false,
  isGenerated: () => false,
  end: () => result,
});
const NOTHING = unread({});
const UNREADABLE = unread({ skipped: 'encoding' });

/**
 * Reads a stream. What most events say, a piece of text, is only put aside as bytes, and told to the reader when there is
 * enough of it or something else comes: with thousands of streams, each in its turn, what has to be fetched from memory for
 * each piece is what it costs.
 */
class StreamTap implements Sink {
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

class JsonTap implements Sink {
  readonly #protocol: Protocol;
  /** `undefined` for an error's body. */
  readonly #operation: Operation | undefined;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** The ends of a body that is too large, where somebody can read them. */
  #first = NO_BYTES;
  #last = NO_BYTES;
  readonly textChars = 0;
  readonly isComplete = false;
  readonly isBetweenEvents = true;

  constructor(protocol: Protocol, operation: Operation | undefined) {
    this.#protocol = protocol;
    this.#operation = operation;
  }

  get #isTooLarge(): boolean {
    return this.#bytes > LIMITS.tapBytesMax;
  }

  get isFull(): boolean {
    return this.#isTooLarge && this.#operation?.readEnds === undefined;
  }

  write(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (!this.#isTooLarge) this.#chunks.push(chunk);
    else if (!this.isFull) this.#keepEnds(chunk);
    else this.#chunks = [];
  }

  #keepEnds(chunk: Buffer): void {
    const all = Buffer.concat([...this.#chunks, this.#last, chunk]);
    if (this.#first.length === 0) this.#first = Buffer.from(all.subarray(0, ANSWER_END_BYTES));
    this.#last = Buffer.from(all.subarray(-ANSWER_END_BYTES));
    this.#chunks = [];
  }

  errorEvent(): undefined {
    return undefined;
  }

  endsShort(): false {
    return false;
  }

  /** A body that is no stream begins when all of it is there. */
  isGenerated(): true {
    return true;
  }

  end(): TapResult {
    if (this.isFull) return { skipped: 'too_large' };
    if (this.#isTooLarge)
      return { answer: this.#operation!.readEnds!(this.#first.toString(), this.#last.toString()) };
    const [first] = this.#chunks;
    const bytes = first && this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks);
    const body = parseObject(bytes.toString());
    if (!body) return { skipped: 'malformed' };
    if (!this.#operation) return { errorType: this.#protocol.readError(body) };
    const answer = this.#operation.readAnswer(body);
    return { answer, errorType: answer.errorType };
  }
}

const NO_BYTES = Buffer.alloc(0);

class DecompressingTap implements Tap {
  readonly #decoder: ReturnType<typeof createGunzip>;
  readonly #sink: Sink;
  readonly #done = Promise.withResolvers<void>();
  #inflatedBytes = 0;
  #skipped: TapResult['skipped'];
  readonly isBetweenEvents = true;

  constructor(decoder: ReturnType<typeof createGunzip>, sink: Sink) {
    this.#decoder = decoder;
    this.#sink = sink;
    decoder.on('data', (chunk: Buffer) => {
      this.#inflatedBytes += chunk.length;
      sink.write(chunk);
      if (sink.isFull || this.#inflatedBytes > INFLATED_BYTES_MAX) this.#giveUp('too_large');
    });
    decoder.on('end', this.#done.resolve);
    // A cut stream ends in an error, after all that could be decompressed was given out.
    decoder.on('error', () => this.#giveUp('malformed'));
    decoder.on('close', this.#done.resolve);
  }

  get textChars(): number {
    return this.#sink.textChars;
  }

  get isComplete(): boolean {
    return this.#sink.isComplete;
  }

  write(chunk: Buffer): void {
    if (this.#decoder.destroyed) return;
    this.#decoder.write(chunk);
    if (this.#decoder.writableLength > LIMITS.tapBytesMax) this.#giveUp('too_large');
  }

  errorEvent(): undefined {
    return undefined;
  }

  endsShort(): false {
    return false;
  }

  isGenerated(): false {
    return false;
  }

  async end(): Promise<TapResult> {
    if (!this.#decoder.destroyed) this.#decoder.end();
    await this.#done.promise;
    const result = this.#sink.end();
    return { ...result, skipped: this.#skipped ?? result.skipped };
  }

  #giveUp(why: TapResult['skipped']): void {
    this.#skipped ??= why;
    this.#decoder.destroy();
  }
}
