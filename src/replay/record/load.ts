import { A } from '../../span/attributes.ts';
import { runTraceId } from '../../span/ids.ts';
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
  // Most runs are in the trace that follows from their names; it is read while it is asked whether there are others.
  const usual = runTraceId(loop, runId);
  const [traceIds, facts, read] = await Promise.all([
    recordedTraces(store, { loop, runId }),
    recordedRun(store, { loop, runId }),
    readTraces(store, [usual]),
  ]);
  if (traceIds.length === 0 || !facts) return undefined;
  const isUsual = traceIds.length === 1 && traceIds[0] === usual;
  const { spans, cut, contents } = isUsual ? read : await readTraces(store, traceIds);
  await addSharedContents(store, contents, spans, CONTENT_NAMES);
  return recordingFromSpans({ loop, run: runId, facts, spans, cut, contents, capture: capture(loop) });
}

async function readTraces(store: Store, traceIds: readonly string[]) {
  const [{ spans, cut }, contents] = await Promise.all([
    recordedSpans(store, traceIds),
    recordedContents(store, traceIds),
  ]);
  return { spans, cut, contents };
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
