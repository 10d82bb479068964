/** Pieces of a stream that are told one by one. */
export const STREAM_PIECES_MAX = 128;

/**
 * When the pieces of a stream came and how many characters of the answer each had, so that a replay can let them come as
 * they came. Of a stream with more pieces than are kept, two neighbours become one each time there is no room, at the time
 * of the later: nothing is told to have come before it did.
 */
export class StreamPieces {
  readonly #startMs: number;
  /** Time and characters of each piece. Outside of the heap, as thousands of streams have it at a time: collections copy it not. */
  #told = NONE;
  #pieces = 0;
  /** How many pieces of the stream one of these stands for, and how many the newest has. */
  #share = 1;
  #inNewest = 0;
  #chars = 0;

  /** `startMs`: when the request came, in milliseconds since the epoch, as all times here. */
  constructor(startMs: number) {
    this.#startMs = startMs;
  }

  /** `chars`: of the whole answer so far. What brings none is no piece. */
  add(atMs: number, chars: number): void {
    const fresh = chars - this.#chars;
    if (fresh <= 0) return;
    this.#chars = chars;
    // Two clocks may be a few milliseconds apart.
    const ms = Math.max(0, Math.round(atMs - this.#startMs));
    const newest = 2 * (this.#pieces - 1);
    if (newest >= 0 && this.#inNewest < this.#share) {
      this.#told[newest] = ms;
      this.#told[newest + 1]! += fresh;
      this.#inNewest++;
      return;
    }
    if (this.#told === NONE) this.#told = new Uint32Array(2 * STREAM_PIECES_MAX);
    if (this.#pieces === STREAM_PIECES_MAX) this.#halve();
    this.#told[2 * this.#pieces] = ms;
    this.#told[2 * this.#pieces + 1] = fresh;
    this.#pieces++;
    this.#inNewest = 1;
  }

  /** As the attribute has it; `undefined` where nothing was said. */
  toJson(): string | undefined {
    if (this.#pieces === 0) return undefined;
    const told = Array.from({ length: this.#pieces }, (_, i) => [...this.#told.subarray(2 * i, 2 * i + 2)]);
    return JSON.stringify(told);
  }

  #halve(): void {
    const told = this.#told;
    this.#pieces = STREAM_PIECES_MAX / 2;
    for (let i = 0; i < this.#pieces; i++) {
      const [, first, ms, second] = told.subarray(4 * i, 4 * i + 4);
      told[2 * i] = ms!;
      told[2 * i + 1] = first! + second!;
    }
    this.#share *= 2;
  }
}

const NONE = new Uint32Array(0);
