/** Pieces of a stream that are told one by one. */
export const STREAM_PIECES_MAX = 128;

/**
 * When the pieces of a stream came and how many characters of the answer each had, so that a replay can let them come as
 * they came. Of a stream with more pieces than are kept, two neighbours become one each time there is no room, at the time
 * of the later: nothing is told to have come before it did.
 */
export class StreamPieces {
  readonly #startMs: number;
  readonly #pieces: [ms: number, chars: number][] = [];
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
    const newest = this.#pieces.at(-1);
    if (newest && this.#inNewest < this.#share) {
      newest[0] = ms;
      newest[1] += fresh;
      this.#inNewest++;
      return;
    }
    if (this.#pieces.length === STREAM_PIECES_MAX) this.#halve();
    this.#pieces.push([ms, fresh]);
    this.#inNewest = 1;
  }

  /** As the attribute has it; `undefined` where nothing was said. */
  toJson(): string | undefined {
    return this.#pieces.length === 0 ? undefined : JSON.stringify(this.#pieces);
  }

  #halve(): void {
    const half = STREAM_PIECES_MAX / 2;
    for (let i = 0; i < half; i++) {
      const [[, before], [ms, chars]] = [this.#pieces[2 * i]!, this.#pieces[2 * i + 1]!];
      this.#pieces[i] = [ms, before + chars];
    }
    this.#pieces.length = half;
    this.#share *= 2;
  }
}
