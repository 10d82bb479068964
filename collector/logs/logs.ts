import type { Clock } from '../../src/clock.ts';
import type { Message, OtlpEncoding, Prepared } from '../../src/span/batch.ts';
import type { Span } from '../../src/span/span.ts';
import type { Capture } from '../admit/content.ts';
import type { FindLoop } from '../admit/normalize.ts';
import { admit } from './admit.ts';
import { decodeLogs } from './decode.ts';
import { logChunks } from './rows.ts';

export interface LogsOptions {
  clock: Clock;
  /** What is kept of a loop's prompts and answers. */
  capture: (loop: string) => Capture;
  findLoop: FindLoop | undefined;
  /** Spans that events stand for, and the contents of both, take the way that other spans take. */
  prepareSpans: (spans: Span[], messages: Message[]) => Pick<Prepared, 'chunks' | 'kept'>;
}

/** From a request for `/v1/logs` to rows. */
export class Logs {
  private readonly options: LogsOptions;

  constructor(options: LogsOptions) {
    this.options = options;
  }

  /** Throws `bad_input` or `body_too_large`. */
  prepare(body: Buffer, encoding: OtlpEncoding): Prepared {
    const { clock, capture, findLoop, prepareSpans } = this.options;
    const receivedNs = BigInt(clock.now()) * 1_000_000n;
    const admitted = admit(decodeLogs(body, encoding), { capture, findLoop, receivedNs });
    const { chunks, kept } = prepareSpans(admitted.spans, admitted.messages);
    return {
      chunks: [...chunks, ...logChunks(admitted.records)],
      items: admitted.records.length,
      rejected: admitted.rejected,
      cut: admitted.cut,
      kept,
    };
  }
}
