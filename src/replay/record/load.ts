import { A } from '../../span/attributes.ts';
import type { Store } from '../../store/client.ts';
import { addSharedContents, recordedContents } from '../../store/recorded-contents.ts';
import { recordedRun, recordedSpans, recordedTraces } from '../../store/recordings.ts';
import type { Recording } from '../recording.ts';
import { CONTENT_NAMES } from './contents.ts';
import { recordingFromSpans } from './from-spans.ts';

/** A run of a loop; or a trace, of a replay or of somebody who has no loop. */
export type RecordingName = { loop: string; runId: string } | { traceId: string };

export interface LoadOptions {
  /** What the registry says is kept of a loop's content now; by it a gap can say whether content was ever kept. */
  capture?: (loop: string) => 'off' | 'hashed' | 'full' | undefined;
}

/**
 * A run as it was recorded; `undefined` where nothing is stored of it. At most `RECORDING_SPANS_MAX` of its spans are read.
 * A trace that belongs to one run of production is that run. Throws what the store throws.
 */
export async function loadRecording(
  store: Store,
  name: RecordingName,
  { capture = () => undefined }: LoadOptions = {},
): Promise<Recording | undefined> {
  if ('traceId' in name) return await loadTrace(store, name.traceId, capture);
  const { loop, runId } = name;
  const traceIds = await recordedTraces(store, { loop, runId });
  if (traceIds.length === 0) return undefined;
  const [facts, { spans, cut }, contents] = await Promise.all([
    recordedRun(store, { loop, runId }),
    recordedSpans(store, traceIds),
    recordedContents(store, traceIds),
  ]);
  if (!facts) return undefined;
  await addSharedContents(store, contents, spans, CONTENT_NAMES);
  return recordingFromSpans({ loop, run: runId, facts, spans, cut, contents, capture: capture(loop) });
}

async function loadTrace(
  store: Store,
  traceId: string,
  capture: NonNullable<LoadOptions['capture']>,
): Promise<Recording | undefined> {
  const { spans, cut } = await recordedSpans(store, [traceId]);
  const first = spans[0];
  if (!first) return undefined;
  const runs = new Map(
    spans.filter(({ runId }) => runId !== '').map((span) => [JSON.stringify([span.loop, span.runId]), span]),
  );
  const [only] = runs.values();
  if (only && runs.size === 1)
    return await loadRecording(store, { loop: only.loop, runId: only.runId }, { capture });
  const loop = spans.find((span) => span.loop !== '')?.loop ?? '';
  const run = spans.find(({ attributes }) => attributes[A.replayRunId])?.attributes[A.replayRunId];
  const contents = await recordedContents(store, [traceId]);
  await addSharedContents(store, contents, spans, CONTENT_NAMES);
  return recordingFromSpans({
    loop,
    run: run ?? traceId,
    facts: undefined,
    spans,
    cut,
    contents,
    capture: capture(loop),
  });
}
