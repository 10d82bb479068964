/** Pieces of a stream that are told one by one. */
export const STREAM_PIECES_MAX = 128;

/**
 * When the pieces of a stream came and how many characters of the answer each had, so that a replay can let them come as
 * they came. Of a stream with more pieces than are kept, two neighbours become one each time there is no room, at the time
 * of the later: nothing is told to have come before it did.
 */
export class StreamPieces {
  readonly #startMs: number;
  /** Of each piece, in two plain lists: thousands of streams have them at a time. */
  readonly #ms: number[] = [];
  readonly #fresh: number[] = [];
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
    const newest = this.#ms.length - 1;
    if (newest >= 0 && this.#inNewest < this.#share) {
      this.#ms[newest] = ms;
      this.#fresh[newest]! += fresh;
      this.#inNewest++;
      return;
    }
    if (this.#ms.length === STREAM_PIECES_MAX) this.#halve();
    this.#ms.push(ms);
    this.#fresh.push(fresh);
    this.#inNewest = 1;
  }

  /** As the attribute has it; `undefined` where nothing was said. */
  toJson(): string | undefined {
    return this.#ms.length === 0 ? undefined : JSON.stringify(this.#ms.map((ms, i) => [ms, this.#fresh[i]]));
  }

  #halve(): void {
    const half = STREAM_PIECES_MAX / 2;
    for (let i = 0; i < half; i++) {
      this.#ms[i] = this.#ms[2 * i + 1]!;
      this.#fresh[i] = this.#fresh[2 * i]! + this.#fresh[2 * i + 1]!;
    }
    this.#ms.length = this.#fresh.length = half;
    this.#share *= 2;
  }
}
