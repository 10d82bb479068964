import { contentHash } from '../../src/records/normalize.ts';
import type { Alert } from '../../src/store/alerts.ts';
import type { ModelEvent } from '../../src/store/model-events.ts';
import type { ModelUse } from '../../src/store/model-uses.ts';
import { evidenceOf, type ModelEvidence, type ResolvedBecause, raised, resolved } from './alert.ts';
import type { Calendar, Retirement } from './calendar.ts';
import type { Circumstances, Findings, LoopModels } from './findings.ts';
import { DAY_MS, isInUse, lastOf } from './in-use.ts';

/**
 * Models in use whose retirement is near. There is a notice at so many days before, and another at fewer: each is an
 * event and an alert of its own, so that whoever forgot the first is told again. The alert of the last notice stays
 * until the loop uses the model no more, or the date moves.
 */

/** A loop may use a model once a week: it is not rid of it before it made other calls for longer than that. */
const MOVED_ON_MS = 8 * DAY_MS;

/** A model that retires, and the latest call that shows its use. */
interface Retiring {
  retirement: Retirement;
  use: ModelUse;
}

export function modelsRetiring(models: LoopModels, circumstances: Circumstances): Findings {
  const { loop, uses, alerts } = models;
  const { calendar, now, noticeDays } = circumstances;
  const loopLastAt = lastOf(uses);
  const retiring = retiringModels(uses, calendar).filter(({ use }) =>
    isInUse(use.lastAt, { loopLastAt, movedOnMs: MOVED_ON_MS, now }),
  );
  const findings: Findings = { events: [], alerts: [] };
  const noticed = new Map<string, string>();
  for (const { retirement, use } of retiring) {
    const notice = noticeOf(daysUntil(retirement.retires_at, now), noticeDays);
    if (notice === undefined) continue;
    const episode = `${retirement.retires_at}/${notice}`;
    const change = raised(loop, evidence(retirement, use, notice), { episode, startedAt: now, now });
    const { alert_id } = change.alert;
    noticed.set(keyOf(retirement), alert_id);
    findings.events.push(noticeEvent(loop, retirement, use, { notice, now }));
    if (!alerts.some((alert) => alert.alert_id === alert_id)) findings.alerts.push(change);
  }
  for (const open of alerts) {
    if (open.state !== 'firing' || evidenceOf(open).reason !== 'retires') continue;
    const because = whyOver(open, retiring, noticed);
    if (because) findings.alerts.push(resolved(open, because, { now }));
  }
  return findings;
}

const keyOf = ({ provider, model }: Pick<Retirement, 'provider' | 'model'>) => `${provider}\0${model}`;

/**
 * When the model of a use retires. Where both the alias that is asked for and the model that answers have a date, the
 * earlier one is what matters.
 */
export function retirementOf(use: ModelUse, calendar: Calendar): Retirement | undefined {
  const asked = calendar.find(use.provider, use.requestedModel);
  const served = calendar.find(use.provider, use.servedModel);
  if (!asked || !served) return asked ?? served;
  return served.retires_at < asked.retires_at ? served : asked;
}

/** By model: its retirement and its latest use. */
function retiringModels(uses: readonly ModelUse[], calendar: Calendar): Retiring[] {
  const byModel = new Map<string, Retiring>();
  for (const use of uses) {
    if (use.outcome === 'not_found') continue; // gone already, which is told as such
    const retirement = retirementOf(use, calendar);
    if (!retirement) continue;
    const key = keyOf(retirement);
    const known = byModel.get(key);
    if (!known || known.use.lastAt < use.lastAt) byModel.set(key, { retirement, use });
  }
  return [...byModel.values()];
}

/** Whole days from the day of `now` to `date`, both in UTC; negative once it has passed. */
export const daysUntil = (date: string, now: number): number =>
  Math.round(Date.parse(date) / DAY_MS) - Math.floor(now / DAY_MS);

/** The notice that is due: the shortest that is not shorter than what is left. */
const noticeOf = (daysLeft: number, noticeDays: readonly number[]): number | undefined =>
  daysLeft < 0 ? undefined : noticeDays.filter((days) => days >= daysLeft).sort((a, b) => a - b)[0];

/** Why an open alert holds no more; `undefined` when it does. `noticed` are the alerts of the notices that are due, by model. */
function whyOver(
  open: Alert,
  retiring: readonly Retiring[],
  noticed: ReadonlyMap<string, string>,
): ResolvedBecause | undefined {
  const about = evidenceOf(open);
  const standing = retiring.find(({ retirement }) => keyOf(retirement) === keyOf(about));
  if (!standing) return 'not_used';
  if (standing.retirement.retires_at !== about.retires_at) return 'date_moved';
  // Without a notice that is due the date is past: the model still answers, and may stop at any moment.
  const due = noticed.get(keyOf(about)) ?? open.alert_id;
  return due === open.alert_id ? undefined : 'next_notice';
}

const evidence = (retirement: Retirement, use: ModelUse, notice: number): ModelEvidence => ({
  reason: 'retires',
  provider: retirement.provider,
  model: retirement.model,
  requested_model: use.requestedModel,
  served_model: use.servedModel,
  retires_at: retirement.retires_at,
  notice_days: notice,
  replacement: retirement.replacement,
  source: retirement.source,
  trace_id: use.lastTraceId,
});

function noticeEvent(
  loop: string,
  retirement: Retirement,
  use: ModelUse,
  { notice, now }: { notice: number; now: number },
): ModelEvent {
  const { provider, model, retires_at, replacement, source } = retirement;
  const id = ['retirement_near', loop, provider, model, retires_at, notice].join('\0');
  return {
    event_id: contentHash(id).slice(0, 16),
    at: now,
    kind: 'retirement_near',
    loop,
    provider,
    model,
    requested_model: use.requestedModel,
    served_model: use.servedModel,
    previous_model: '',
    retires_at,
    replacement,
    source,
    trace_id: use.lastTraceId,
  };
}
