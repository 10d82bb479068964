import { contentHash } from '../../src/records/normalize.ts';
import type { ModelEvent } from '../../src/store/model-events.ts';
import type { ModelUse } from '../../src/store/model-uses.ts';
import { isSnapshotOf } from './family.ts';

/**
 * First uses of a served model: a loop's request was answered by a model that never answered it before.
 *
 * Normal, and no change: the very first model of a loop; an alias that is answered by a snapshot of itself the first
 * time it is asked for, or after it was answered under its own name; a request that is new and is answered by a model that
 * the loop knows. Everything is judged by when calls were made, so that history may come late.
 */
export function servedModelChanges(uses: readonly ModelUse[]): ModelEvent[] {
  const events: ModelEvent[] = [];
  const ofLoop: ModelUse[] = [];
  const ofRequest = new Map<string, ModelUse[]>();
  for (const use of uses.filter(isAnswered).sort(byFirstUse)) {
    const before = ofRequest.get(use.requestedModel) ?? [];
    if (isChange(use, before, ofLoop))
      events.push(changeEvent(use, lastAnswering(before.length > 0 ? before : ofLoop, use.firstAt)));
    ofRequest.set(use.requestedModel, [...before, use]);
    ofLoop.push(use);
  }
  return events;
}

const isAnswered = ({ outcome }: ModelUse) => outcome === 'answered';

const byFirstUse = (a: ModelUse, b: ModelUse) =>
  a.firstAt - b.firstAt || (a.servedModel < b.servedModel ? -1 : 1);

function isChange(
  { requestedModel, servedModel }: ModelUse,
  before: readonly ModelUse[],
  ofLoop: readonly ModelUse[],
): boolean {
  const isKnownTo = (known: readonly ModelUse[]) => known.some((use) => use.servedModel === servedModel);
  const isOwnSnapshot = isSnapshotOf(servedModel, requestedModel);
  if (before.length === 0) return ofLoop.length > 0 && !isOwnSnapshot && !isKnownTo(ofLoop);
  const onlyTheAlias = before.every((use) => use.servedModel === requestedModel);
  return !isKnownTo(before) && !(onlyTheAlias && isOwnSnapshot);
}

/** The model that answered last before `at`. */
const lastAnswering = (uses: readonly ModelUse[], at: number): string =>
  uses.reduce((last, use) => (Math.min(use.lastAt, at) >= Math.min(last.lastAt, at) ? use : last))
    .servedModel;

function changeEvent(use: ModelUse, previous: string): ModelEvent {
  const { loop, requestedModel, servedModel } = use;
  return {
    event_id: contentHash(['served_model_changed', loop, requestedModel, servedModel].join('\0')).slice(
      0,
      16,
    ),
    at: use.firstAt,
    kind: 'served_model_changed',
    loop,
    provider: use.provider,
    model: servedModel,
    requested_model: requestedModel,
    served_model: servedModel,
    previous_model: previous,
    retires_at: null,
    replacement: '',
    source: '',
    trace_id: use.firstTraceId,
  };
}
