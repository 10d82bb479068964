import type { AnswerFacts, GatewayError } from '../protocol.ts';

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

/** A tap that can say when it will read no more. */
export interface Sink extends Tap {
  readonly isFull: boolean;
  end(): TapResult;
}
