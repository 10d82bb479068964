import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { LIMITS } from '../span/limits.ts';
import { type AnswerFacts, type Protocol, parseObject } from './protocol.ts';
import { SseParser } from './sse.ts';

/**
 * Reads a copy of the answer as it passes. It never holds the answer up, never fails it, and gives up rather
 * than hold more than `LIMITS.tapBytesMax`:
 * - a stream is read event by event, so its length does not matter;
 * - a JSON body is kept until it is whole; a larger one is not read;
 * - a compressed answer is decompressed beside the caller's copy.
 */
export interface Tap {
  write(chunk: Buffer): void;
  /** No more comes. Resolves with what could be read. */
  end(): Promise<TapResult>;
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
  status: number;
  contentType: string;
  contentEncoding: string;
  /** Whether a success is an answer that the protocol can read. */
  readable: boolean;
}

interface Sink {
  /** Gives `false` when it will read no more. */
  write(chunk: Buffer): boolean;
  end(): TapResult;
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

const NOTHING: Tap = { write: () => {}, end: async () => ({}) };

export function openTap(options: TapOptions): Tap {
  const sink = openSink(options);
  if (!sink) return NOTHING;
  const encoding = options.contentEncoding.trim().toLowerCase();
  if (encoding === '' || encoding === 'identity')
    return { write: (chunk) => void sink.write(chunk), end: async () => sink.end() };
  const decoder = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
  if (!decoder) return { write: () => {}, end: async () => ({ skipped: 'encoding' }) };
  return decompressing(decoder(), sink);
}

function openSink({ protocol, status, contentType, readable }: TapOptions): Sink | undefined {
  const failed = status >= 400;
  if (!failed && !readable) return undefined;
  if (/^text\/event-stream\b/i.test(contentType)) return streamSink(protocol);
  if (/[/+]json\b/i.test(contentType))
    return jsonSink((body) =>
      failed ? { errorType: protocol.readError(body) } : { answer: protocol.readAnswer(body) },
    );
  return undefined;
}

function streamSink(protocol: Protocol): Sink {
  const reader = protocol.readStream(LIMITS.tapBytesMax);
  const parser = new SseParser((event) => reader.event(event), LIMITS.tapBytesMax);
  return {
    write: (chunk) => {
      parser.push(chunk);
      return true;
    },
    end: () => {
      parser.end();
      const answer = reader.facts();
      const skipped = parser.skipped > 0 ? 'too_large' : undefined;
      return { answer, errorType: answer.errorType, skipped };
    },
  };
}

function jsonSink(read: (body: unknown) => TapResult): Sink {
  let chunks: Buffer[] = [];
  let bytes = 0;
  return {
    write: (chunk) => {
      bytes += chunk.length;
      if (bytes > LIMITS.tapBytesMax) chunks = [];
      else chunks.push(chunk);
      return bytes <= LIMITS.tapBytesMax;
    },
    end: () => {
      if (bytes > LIMITS.tapBytesMax) return { skipped: 'too_large' };
      const body = parseObject(Buffer.concat(chunks).toString());
      return body ? read(body) : { skipped: 'malformed' };
    },
  };
}

function decompressing(decoder: ReturnType<typeof createGunzip>, sink: Sink): Tap {
  const done = Promise.withResolvers<void>();
  let skipped: TapResult['skipped'];
  const giveUp = (why: TapResult['skipped']) => {
    skipped ??= why;
    decoder.destroy();
  };
  let inflated = 0;
  decoder.on('data', (chunk: Buffer) => {
    inflated += chunk.length;
    if (!sink.write(chunk) || inflated > INFLATED_BYTES_MAX) giveUp('too_large');
  });
  decoder.on('end', done.resolve);
  // A cut stream ends in an error, after all that could be decompressed was given out.
  decoder.on('error', () => giveUp('malformed'));
  decoder.on('close', done.resolve);
  return {
    write: (chunk) => {
      if (decoder.destroyed) return;
      decoder.write(chunk);
      if (decoder.writableLength > LIMITS.tapBytesMax) giveUp('too_large');
    },
    end: async () => {
      if (!decoder.destroyed) decoder.end();
      await done.promise;
      const result = sink.end();
      return { ...result, skipped: skipped ?? result.skipped };
    },
  };
}
