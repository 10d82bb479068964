import type { Clock } from '../src/clock.ts';
import { LoopscopeError } from '../src/errors.ts';
import type { Prepared } from '../src/span/batch.ts';
import type { Store } from '../src/store/client.ts';
import { unknownSpans } from './insert/known.ts';
import type { Answer } from './receive/answer.ts';
import type { ExportRequest } from './receive/options.ts';
import type { Spool } from './spool/spool.ts';
import type { Traces } from './traces.ts';

/** An import waits this long for what was taken before it, and again for itself. */
const WAIT_MS = 8_000;
const RETRY_AFTER_S = 1;

export interface ImportsOptions {
  spool: Spool;
  store: Store;
  clock: Clock;
  traces: Traces;
  /** Puts into the spool what is not stored yet; `storedBefore` spans are left out. */
  keep: (digest: string, prepared: Prepared, storedBefore: number) => Promise<Answer>;
  onRefused: (spans: number) => void;
}

/**
 * Spans that their sender may have sent before, in other requests, and wants to look at: those that are stored are left
 * out, and the answer comes when the others are. One request at a time: a look at what is stored holds only while
 * nobody stores the same.
 */
export class Imports {
  private readonly options: ImportsOptions;
  private last: Promise<unknown> = Promise.resolve();

  constructor(options: ImportsOptions) {
    this.options = options;
  }

  /** Throws what `Traces.admit` throws. */
  async take(request: ExportRequest): Promise<Answer> {
    const importing = this.last.then(() => this.takeNow(request));
    this.last = importing.catch(() => {});
    return await importing;
  }

  private async takeNow({ body, encoding }: ExportRequest): Promise<Answer> {
    const { spool, store, clock, traces, keep, onRefused } = this.options;
    const admitted = traces.admit(body, encoding);
    try {
      await spool.flush(AbortSignal.timeout(WAIT_MS));
      const spans = await unknownSpans(store, admitted.spans);
      const prepared = traces.prepareAdmitted(admitted, spans);
      // The same request again is known by its spans, so the spool need not know it.
      const answer = await keep(clock.randomHex(32), prepared, admitted.spans.length - spans.length);
      await spool.flush(AbortSignal.timeout(WAIT_MS));
      return answer;
    } catch (error) {
      if (error instanceof LoopscopeError && error.code !== 'store_unavailable') throw error;
      onRefused(admitted.spans.length);
      const message = `What was sent before is not in ClickHouse yet: ${spool.trouble() ?? 'it is slow'}.`;
      return { kind: 'refused', status: 503, message, retryAfterS: RETRY_AFTER_S };
    }
  }
}
