import type { ProviderCall, ProviderListener } from '../provider.ts';

/**
 * One caller's way through a recording: what came so far, then each chunk as it comes, at the caller's own pace.
 * It looks to that caller's code like a call to the provider.
 *
 * - The listener hears `start` once, `data` in order, then one of `end` and `fail`, and nothing after `cancel`.
 * - After `data` gave `false` no chunk comes until `resume`; that the answer is over is told all the same once the
 *   last chunk was given out.
 * - A reader counts from the moment it is made, so nothing that it has still to get is let go before it plays.
 * - One whose caller hung up may stay to hear how the answer ends, for the record of it. It sets no pace, and does not
 *   keep the call to the provider alive.
 */
export interface Answer {
  /** The span of the call that the provider really answered. */
  readonly origin: Origin;
  head(first: boolean): AnswerHead | undefined;
  /** Chunk `n` of the answer, `undefined` while it has not come. */
  chunk(n: number): Buffer | undefined;
  /** `open` while more may come; an error when it broke off. */
  readonly outcome: 'open' | 'ended' | Error;
  /** The reader took what there is, or wants more again. */
  advanced(reader: Reader): void;
  /** The reader needs nothing any more, or goes on hearing for nobody. */
  left(reader: Reader): void;
}

export interface Origin {
  traceId: string;
  spanId: string;
}

export interface AnswerHead {
  status: number;
  statusText: string;
  /** Name, value, name, value, … as they came. */
  headers: string[];
}

export class Reader implements ProviderCall {
  readonly #answer: Answer;
  /** Whether it is the caller for whom the provider was called. */
  readonly #first: boolean;
  #listener: ProviderListener | undefined;
  #started = false;
  #paused = false;
  #over = false;
  #pumping = false;
  #cutOff: Error | undefined;
  /** Whether its caller hung up. */
  isSilent = false;
  /** Chunks it was given. */
  position = 0;

  constructor(answer: Answer, first: boolean) {
    this.#answer = answer;
    this.#first = first;
  }

  /** Where the answer comes from; final once the answer is over. */
  get origin(): Origin {
    return this.#answer.origin;
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** Whether the next chunk would be taken as it comes. */
  get wantsMore(): boolean {
    return this.#listener !== undefined && !this.#paused && !this.isSilent && !this.#over;
  }

  /** Tells the listener what there is, at once, and from then on what comes. Call it once. */
  play(listener: ProviderListener): void {
    this.#listener = listener;
    this.pump();
  }

  readonly resume = (): void => {
    this.#paused = false;
    this.pump();
  };

  readonly cancel = (): void => {
    if (this.#over) return;
    this.#over = true;
    this.#answer.left(this);
  };

  /**
   * The caller hung up, and the listener stays: it hears the rest of the answer where that goes on for others, or is
   * to be finished, and `fail` where the call ends because nobody is left.
   */
  hangUp(): void {
    if (this.#over || this.isSilent) return;
    this.isSilent = true;
    this.#answer.left(this);
    this.resume();
  }

  /** Ends the reader although the answer goes on for others. */
  cutOff(error: Error): void {
    this.#cutOff = error;
    this.pump();
  }

  /** Gives out what can be given out now. */
  pump(): void {
    const listener = this.#listener;
    if (!listener || this.#pumping || this.#over) return;
    this.#pumping = true;
    try {
      while (this.#step(listener));
    } finally {
      // A listener that threw has still to hear that it is over.
      this.#pumping = false;
    }
    if (!this.#over) this.#answer.advanced(this);
  }

  /** Gives whether there may be another step. */
  #step(listener: ProviderListener): boolean {
    if (this.#over) return false;
    if (this.#cutOff) return this.#fail(listener, this.#cutOff);
    const answer = this.#answer;
    if (!this.#started) {
      const head = answer.head(this.#first);
      if (head) {
        this.#started = true;
        listener.start(head.status, head.statusText, head.headers);
        return true;
      }
    }
    const chunk = answer.chunk(this.position);
    if (chunk) {
      if (this.#paused) return false;
      this.position++;
      this.#paused = !listener.data(chunk) && !this.isSilent;
      return true;
    }
    const { outcome } = answer;
    if (outcome === 'open') return false;
    if (outcome !== 'ended') return this.#fail(listener, outcome);
    this.cancel();
    listener.end();
    return false;
  }

  #fail(listener: ProviderListener, error: Error): false {
    this.cancel();
    listener.fail(error);
    return false;
  }
}
