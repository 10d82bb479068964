import type { Clock } from '../src/clock.ts';
import type { OtlpEncoding, Prepared } from '../src/span/batch.ts';
import type { Span } from '../src/span/span.ts';
import { type Admitted, admit } from './admit/admit.ts';
import type { Capture } from './admit/content.ts';
import type { FindLoop } from './admit/normalize.ts';
import { decode } from './decode/decode.ts';
import { Preparation } from './insert/prepare.ts';

export interface TracesOptions {
  clock: Clock;
  /** What is kept of a loop's prompts and answers. */
  capture: (loop: string) => Capture;
  findLoop: FindLoop | undefined;
}

/** From a request for `/v1/traces` to rows. */
export class Traces {
  private readonly options: TracesOptions;
  private readonly preparation: Preparation;

  constructor(options: TracesOptions) {
    this.options = options;
    this.preparation = new Preparation(options.clock);
  }

  /** Throws `bad_input` or `body_too_large`. */
  prepare(body: Buffer, encoding: OtlpEncoding): Prepared {
    return this.prepareAdmitted(this.admit(body, encoding));
  }

  /** The spans themselves, for who must look at them before they are stored. Throws like `prepare`. */
  admit(body: Buffer, encoding: OtlpEncoding): Admitted {
    const { capture, findLoop } = this.options;
    return admit(decode(body, encoding), capture, findLoop);
  }

  /** Of an admitted request those that are in `spans`, which may be fewer. */
  prepareAdmitted(admitted: Admitted, spans: readonly Span[] = admitted.spans): Prepared {
    return {
      chunks: this.preparation.prepare(spans, admitted.messages),
      items: spans.length,
      rejected: admitted.rejected,
      cut: admitted.cut,
      kept: () => this.preparation.kept(admitted.messages),
    };
  }
}
