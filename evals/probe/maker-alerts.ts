import type { Alert, AlertChange } from '../../src/store/alerts.ts';
import type { ModelEvent } from '../../src/store/model-events.ts';
import type { ProbeRow } from '../../src/store/probes.ts';
import { mcnemarE } from '../stats/mcnemar.ts';
import { dropAlert, evidenceOf, figuresOf, resolved, tracesOf } from './alert.ts';
import { compareAcross, eWorse, FALSE_ALARM, isWorseOnce, isWorseSince, mean, pWorse } from './paired.ts';
import { seriesAlarms } from './series.ts';

/** Of a maker: which alerts its probes raise, and which they end. What one alert tells of, no other tells again. */
export interface MakerProbes {
  loop: string;
  suite: string;
  /** Of the maker, oldest first. */
  probes: readonly ProbeRow[];
  /** The alerts of the suite that say `golden_drop`, in their newest state. */
  alerts: readonly Alert[];
  /** Changes of the served model that were probed, each with its job. */
  changes: readonly ProbedChange[];
  /** The job that has just ended. */
  jobId: string;
  arl: number;
  now: number;
}

export interface ProbedChange {
  event: ModelEvent;
  jobId: string;
}

/** e³: strong evidence. */
const RECOVERED_AT = 20;

/** The next change of the maker's alerts; to be asked again after each. */
export function nextMakerChange(maker: MakerProbes): AlertChange | undefined {
  return pairedEnd(maker) ?? pairedDrop(maker) ?? seriesChange(maker);
}

const isOpen = ({ state }: Alert) => state === 'firing';
const time = (iso: string) => Date.parse(iso);

/** A change that made the answers worse and was not told of yet. */
function pairedDrop({
  loop,
  suite,
  probes,
  alerts,
  changes,
  jobId,
  now,
}: MakerProbes): AlertChange | undefined {
  const blamed = new Set(alerts.filter(isOpen).flatMap(({ cause }) => cause?.to ?? []));
  for (const { event, jobId: ofChange } of changes) {
    if (alerts.some(({ started_at }) => time(started_at) > event.at)) continue;
    const change = { jobId: ofChange, servedModel: event.served_model, blamed };
    const isOnce = ofChange === jobId;
    const once = isOnce ? compareAcross(probes, change, 'job') : undefined;
    const since = compareAcross(probes, change, 'since');
    const found = once && isWorseOnce(once) ? once : isWorseSince(since) ? since : undefined;
    if (!found) continue;
    const about = {
      loop,
      suite,
      id: ['pairs', event.event_id],
      startedAt: now,
      changeAt: event.at,
      cause: { dimension: 'model', from: event.previous_model, to: event.served_model },
    };
    const alert = dropAlert(about, {
      by: 'pairs',
      job_id: ofChange,
      event_id: event.event_id,
      golden: { before: found.before!, after: found.after! },
      ...figuresOf(found),
      p_value: found === once ? pWorse(found)! : null,
      e_value: found === once ? null : eWorse(found),
      false_alarm: FALSE_ALARM,
      look_at: found.worseTraces,
    });
    return { alert, at: now };
  }
  return undefined;
}

/**
 * The end of an alert of pairs, by the probes since: those of items that it found scored do better than then with an
 * evidence of e³, and their mean is back more than half of the way that it fell. What they are asked may have changed:
 * that may be the remedy.
 */
function pairedEnd({ probes, alerts, now }: MakerProbes): AlertChange | undefined {
  for (const alert of alerts.filter(isOpen)) {
    const evidence = evidenceOf(alert);
    if (evidence.by !== 'pairs') continue;
    const raised = time(alert.started_at);
    const scored = probes.filter((probe): probe is ProbeRow & { score: number } => probe.score !== null);
    const fallen = new Map(
      scored
        .filter(({ at, served_model }) => at <= raised && served_model === alert.cause?.to)
        .map((probe) => [probe.item_hash, probe.score]),
    );
    const since = scored.filter(({ at, item_hash }) => at > raised && fallen.has(item_hash));
    const better = since.filter(({ item_hash, score }) => score > fallen.get(item_hash)!).length;
    const worse = since.filter(({ item_hash, score }) => score < fallen.get(item_hash)!).length;
    const level = mean(since.map(({ score }) => score)) ?? 0;
    const isBack = level > (evidence.golden.before + evidence.golden.after) / 2;
    if (isBack && better > worse && mcnemarE(worse, better) >= RECOVERED_AT)
      return resolved(alert, new Date(since.at(-1)!.at).toISOString(), now);
  }
  return undefined;
}

/** What the series asks for; an alarm that comes while an alert of pairs is open is of what that tells. */
function seriesChange({ loop, suite, probes, alerts, arl, now }: MakerProbes): AlertChange | undefined {
  const isTold = (at: string) =>
    alerts.some(
      (alert) =>
        evidenceOf(alert).by === 'pairs' &&
        time(alert.started_at) <= time(at) &&
        (alert.resolved_at === null || time(alert.resolved_at) >= time(at)),
    );
  for (const { alarm, raised, lookAt, recoveredAt } of seriesAlarms(probes, arl)) {
    const { at, change_at, cause, golden, e_value, evidence } = alarm;
    const about = {
      loop,
      suite,
      id: ['series', raised.run_id],
      startedAt: time(at),
      changeAt: time(change_at),
      cause,
    };
    const alert = dropAlert(about, {
      by: 'series',
      golden,
      scored: evidence.scored,
      e_value,
      threshold: evidence.threshold,
      arl,
      look_at: tracesOf(lookAt),
    });
    const known = alerts.find(({ alert_id }) => alert_id === alert.alert_id);
    if (known && isOpen(known) && recoveredAt !== undefined) return resolved(known, recoveredAt, now);
    if (!known && !isTold(at)) return { alert, at: now };
  }
  return undefined;
}
