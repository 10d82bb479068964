import { contentHash } from '../../src/records/normalize.ts';
import type { Alert } from '../../src/store/alerts.ts';
import type { ModelEvent } from '../../src/store/model-events.ts';
import type { ModelUse } from '../../src/store/model-uses.ts';
import { evidenceOf, raised, resolved } from './alert.ts';
import type { Circumstances, Findings, LoopModels } from './findings.ts';
import { DAY_MS, isInUse, lastOf, USED_WITHIN_MS } from './in-use.ts';

/**
 * Models that a provider says it does not have. Each day on which a loop is told so is an event. An alert fires while
 * that is the last the loop heard of the model; it ends when the model answers again and goes on to, or when the
 * loop asks for it no more.
 */

/** A model that fails and answers by turns is not well again before it was quiet this long. */
const CALM_MS = 3_600_000;
/** A loop that made other calls for this long and none of this model has another one now. */
const MOVED_ON_MS = DAY_MS;

/** All that a loop heard of a model that it asked for. */
interface Asked {
  notFound: ModelUse;
  answeredAt: number;
  isAskedFor: boolean;
  past: readonly Alert[];
}

export function modelsNotFound(models: LoopModels, circumstances: Circumstances): Findings {
  const { loop, uses, alerts } = models;
  const { now } = circumstances;
  const findings: Findings = { events: [], alerts: [] };
  for (const notFound of uses.filter(({ outcome }) => outcome === 'not_found')) {
    if (now - notFound.lastAt > USED_WITHIN_MS && !alerts.some(isOpen)) continue;
    const sameRequest = uses.filter((use) => use.requestedModel === notFound.requestedModel);
    const asked = {
      notFound,
      answeredAt: lastOf(sameRequest.filter(({ outcome }) => outcome === 'answered')),
      isAskedFor: isInUse(lastOf(sameRequest), { loopLastAt: lastOf(uses), movedOnMs: MOVED_ON_MS, now }),
      past: alerts.filter((alert) => isAbout(alert, notFound)),
    };
    if (now - notFound.lastAt <= USED_WITHIN_MS) findings.events.push(dayEvent(notFound, circumstances));
    findings.alerts.push(...changes(loop, asked, circumstances));
  }
  return findings;
}

const isOpen = ({ state }: Alert) => state === 'firing';

const endOf = ({ resolved_at }: Alert) => (resolved_at === null ? 0 : Date.parse(resolved_at));

function isAbout(alert: Alert, { provider, requestedModel }: ModelUse): boolean {
  const { reason, provider: theirs, model } = evidenceOf(alert);
  return reason === 'not_found' && theirs === provider && model === requestedModel;
}

function changes(loop: string, asked: Asked, circumstances: Circumstances): Findings['alerts'] {
  const { notFound, answeredAt, isAskedFor, past } = asked;
  const { now } = circumstances;
  const open = past.find(isOpen);
  if (open) {
    if (answeredAt > notFound.lastAt && now - notFound.lastAt >= CALM_MS)
      return [resolved(open, 'answered', { now, recoveredAt: answeredAt })];
    return isAskedFor ? [] : [resolved(open, 'not_used', { now })];
  }
  const toldUntil = Math.max(0, ...past.map(endOf));
  if (!isAskedFor || notFound.lastAt <= Math.max(toldUntil, answeredAt)) return [];
  const isFirst = notFound.firstAt > Math.max(toldUntil, answeredAt);
  const { retires_at, replacement, source } = knownEnd(notFound, circumstances);
  const evidence = {
    reason: 'not_found' as const,
    provider: notFound.provider,
    model: notFound.requestedModel,
    requested_model: notFound.requestedModel,
    served_model: '',
    retires_at,
    notice_days: null,
    replacement,
    source,
    trace_id: isFirst ? notFound.firstTraceId : notFound.lastTraceId,
  };
  const startedAt = isFirst ? notFound.firstAt : notFound.lastAt;
  return [raised(loop, evidence, { episode: String(toldUntil), startedAt, now })];
}

function dayEvent(use: ModelUse, circumstances: Circumstances): ModelEvent {
  const { loop, provider, requestedModel, lastAt } = use;
  const day = Math.floor(lastAt / DAY_MS);
  return {
    event_id: contentHash(['model_not_found', loop, provider, requestedModel, day].join('\0')).slice(0, 16),
    at: lastAt,
    kind: 'model_not_found',
    loop,
    provider,
    model: requestedModel,
    requested_model: requestedModel,
    served_model: '',
    previous_model: '',
    ...knownEnd(use, circumstances),
    trace_id: use.lastTraceId,
  };
}

/** What the calendar knows of a model: when it went, and what to use instead. */
function knownEnd({ provider, requestedModel }: ModelUse, { calendar }: Circumstances) {
  const known = calendar.find(provider, requestedModel);
  return {
    retires_at: known?.retires_at ?? null,
    replacement: known?.replacement ?? '',
    source: known?.source ?? '',
  };
}
