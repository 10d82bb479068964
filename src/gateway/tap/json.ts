import { LIMITS } from '../../span/limits.ts';
import { ANSWER_END_BYTES, type Operation, type Protocol, parseObject } from '../protocol.ts';
import type { Sink, TapResult } from './tap.ts';

/** Reads a body that is one JSON value. */
export class JsonTap implements Sink {
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
