import type { Clock } from '../src/clock.ts';
import type { Chunk, OtlpEncoding, Prepared } from '../src/span/batch.ts';
import type { Span } from '../src/span/span.ts';
import { Admission, type Admitted, admit } from './admit/admit.ts';
import type { Capture } from './admit/content.ts';
import type { FindLoop } from './admit/normalize.ts';
import { decode } from './decode/decode.ts';
import { MessageRows } from './insert/messages.ts';
import { Transcoder } from './transcode/transcode.ts';

export interface TracesOptions {
  clock: Clock;
  /** What is kept of a loop's prompts and answers. */
  capture: (loop: string) => Capture;
  findLoop: FindLoop | undefined;
}

/** From a request for `/v1/traces` to rows. */
export class Traces {
  private readonly options: TracesOptions;
  private readonly transcoder = new Transcoder();
  private readonly messageRows: MessageRows;

  constructor(options: TracesOptions) {
    this.options = options;
    this.messageRows = new MessageRows(options.clock);
  }

  /** Throws `bad_input` or `body_too_large`. */
  prepare(body: Buffer, encoding: OtlpEncoding): Prepared {
    if (encoding === 'json') return this.prepareAdmitted(this.admit(body, encoding));
    const admission = new Admission(this.options.capture, this.options.findLoop);
    return this.prepared(this.transcoder.transcode(body, admission), admission);
  }

  /** The spans themselves, for who must look at them before they are stored. Throws like `prepare`. */
  admit(body: Buffer, encoding: OtlpEncoding): Admitted {
    const { capture, findLoop } = this.options;
    return admit(decode(body, encoding), capture, findLoop);
  }

  /** Of an admitted request those that are in `spans`, which may be fewer. */
  prepareAdmitted(admitted: Admitted, spans: readonly Span[] = admitted.spans): Prepared {
    return this.prepared(this.transcoder.append(spans), admitted);
  }

  private prepared(spans: Chunk[], { messages, rejected, cut }: Omit<Admitted, 'spans'>): Prepared {
    return {
      chunks: [...this.messageRows.prepare(messages), ...spans],
      items: spans.reduce((sum, chunk) => sum + chunk.rows, 0),
      rejected,
      cut,
      kept: () => this.messageRows.kept(messages),
    };
  }
}
