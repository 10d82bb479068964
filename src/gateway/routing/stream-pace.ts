/**
 * Whether a stream is too slow, window by window. The first window counts for nothing: models start slowly. Every
 * event counts as a token: providers send one or several in each, and what an event holds is not looked at.
 */
export class StreamPace {
  readonly #eventsMin: number;
  #events = 0;
  #grace = true;

  constructor(tokensPerSMin: number) {
    this.#eventsMin = (tokensPerSMin * PACE_WINDOW_MS) / 1000;
  }

  took(chunk: Buffer): void {
    this.#events += occurrences(chunk, '\n\n') + occurrences(chunk, '\n\r\n');
  }

  /** Ends a window and begins the next; whether it was too slow. */
  endWindow(): boolean {
    const tooSlow = !this.#grace && this.#events < this.#eventsMin;
    this.#events = 0;
    this.#grace = false;
    return tooSlow;
  }

  /** The caller stopped reading for a while: what came in this window is not the provider's pace. */
  restart(): void {
    this.#events = 0;
    this.#grace = true;
  }
}

export const PACE_WINDOW_MS = 10_000;

/** No text in an event has a blank line: JSON writes line ends with escapes. */
function occurrences(chunk: Buffer, end: string): number {
  let n = 0;
  for (let at = chunk.indexOf(end); at !== -1; at = chunk.indexOf(end, at + end.length)) n++;
  return n;
}
