import type { Clock } from '../../clock.ts';
import type { Fetch } from '../../collector-trust.ts';
import { LoopscopeError } from '../../errors.ts';
import { otlpJson } from '../../records/otlp.ts';
import { postSpans } from '../../records/post.ts';
import { runTraceId } from '../../span/ids.ts';
import type { Span } from '../../span/span.ts';
import type { Recording } from '../recording.ts';
import { recordingToSpans } from './to-spans.ts';

/** Spans are sent in requests of at most so many, and of about so much text. */
const BATCH_SPANS_MAX = 1_000;
const BATCH_TEXT_MAX = 8_000_000;

export interface SendOptions {
  collectorUrl: string;
  /** The collector's token, where it asks for one. */
  token?: string | undefined;
  /** Where the collector's certificate is one of its own. */
  fetch?: Fetch | undefined;
  clock: Clock;
  signal?: AbortSignal | undefined;
}

export interface ImportRecordingsOptions extends SendOptions {
  /** Whether a loop is in the registry; none is where not given. */
  isRegistered?: (loop: string) => boolean;
  /** Told after each request how many runs are stored for certain. */
  onProgress?: (runs: number) => void;
}

/**
 * Makes recordings runs of their loops: their spans go to the collector, and all is stored when this returns. A run's trace
 * is the one that the gateway would give to it. The same recording again stores nothing twice; what a loop's `capture` does
 * not keep is not kept of a recording either.
 * Throws `store_unavailable` or `store_rejected` when the collector does not take it, or the signal's reason.
 */
export async function importRecordings(
  recordings: Iterable<Recording>,
  { isRegistered = () => false, onProgress = () => {}, ...send }: ImportRecordingsOptions,
): Promise<void> {
  let begun = 0;
  function* spans(): Generator<Span> {
    for (const recording of recordings) {
      const { loop, run } = recording;
      const traceId = runTraceId(loop, run);
      yield* recordingToSpans({ ...recording, traceId }, { registered: isRegistered(loop) });
      begun++;
    }
  }
  for (const batch of batches(spans())) {
    const whole = begun;
    await sendBatch(batch, send);
    onProgress(whole);
  }
}

/** Sends the spans of a recording, a run's or a replay's, and returns when all are stored. Throws like `importRecordings`. */
export async function sendSpans(spans: Iterable<Span>, options: SendOptions): Promise<void> {
  for (const batch of batches(spans)) await sendBatch(batch, options);
}

async function sendBatch(batch: readonly Span[], options: SendOptions): Promise<void> {
  const partial = await postSpans(otlpJson(batch), options);
  if (partial)
    throw new LoopscopeError(
      'store_rejected',
      `The collector did not take ${partial.rejectedSpans} of ${batch.length} spans: ${partial.message}`,
    );
}

/** In order: what a span refers to is on one before it. */
function* batches(spans: Iterable<Span>): Generator<Span[]> {
  let batch: Span[] = [];
  let text = 0;
  for (const span of spans) {
    if (batch.length >= BATCH_SPANS_MAX || text >= BATCH_TEXT_MAX) {
      yield batch;
      batch = [];
      text = 0;
    }
    batch.push(span);
    for (const name in span.attributes) text += name.length + span.attributes[name]!.length;
  }
  if (batch.length > 0) yield batch;
}
