import type { Clock } from '../src/clock.ts';
import { LoopscopeError } from '../src/errors.ts';
import type { Prepared } from '../src/span/batch.ts';
import type { Spool } from '../src/spool/spool.ts';
import type { Store } from '../src/store/client.ts';
import { unknownSpans } from './insert/known.ts';
import type { Answer } from './receive/answer.ts';
import type { ExportRequest } from './receive/options.ts';
import type { Traces } from './traces.ts';

/** An import waits this long for what was taken before it, and again for itself. */
const WAIT_MS = 8_000;
const RETRY_AFTER_S = 1;
/** So many are here at once, as each holds memory that other requests need; who has to come again keeps its own. */
const HERE_MAX = 4;

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
  private here = 0;

  constructor(options: ImportsOptions) {
    this.options = options;
  }

  /** Throws what `Traces.admit` throws. */
  async take(request: ExportRequest): Promise<Answer> {
    if (this.here >= HERE_MAX) return later('Other imports wait for their turn.');
    this.here++;
    const importing = this.last.then(() => this.takeNow(request));
    this.last = importing.catch(() => {});
    try {
      return await importing;
    } finally {
      this.here--;
    }
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
      if (!isForLater(error)) throw error;
      onRefused(admitted.spans.length);
      return later(`What was sent before is not in ClickHouse yet: ${spool.trouble() ?? 'it is slow'}.`);
    }
  }
}

/** Everything else is a refusal for good, or a bug, which a sender that comes again would hide. */
const isForLater = (error: unknown): boolean =>
  error instanceof LoopscopeError
    ? error.code === 'store_unavailable'
    : error instanceof DOMException && error.name === 'TimeoutError';

const later = (message: string): Answer => ({
  kind: 'refused',
  status: 503,
  message,
  retryAfterS: RETRY_AFTER_S,
});
