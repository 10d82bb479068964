import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { LIMITS } from '../../span/limits.ts';
import type { Sink, Tap, TapResult } from './tap.ts';

/** What can be read, by `content-encoding`. */
export const DECODERS: Record<string, () => ReturnType<typeof createGunzip>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress as unknown as typeof createGunzip,
  zstd: createZstdDecompress as unknown as typeof createGunzip,
};

/** Reads what is decompressed beside the caller's copy. */
export class DecompressingTap implements Tap {
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

/** A stream may be long, but nothing honest is this long. */
const INFLATED_BYTES_MAX = 32 * LIMITS.tapBytesMax;
