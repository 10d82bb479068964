import { contentHash } from '../../src/records/normalize.ts';
import type { Alert, AlertChange } from '../../src/store/alerts.ts';

/** Alerts of kind `model_retired`: a model that a loop uses is gone, or will be soon. */
export const MODEL_ALERT_KIND = 'model_retired';

/** What a model's alert has as its evidence; more is added when it is resolved. */
export interface ModelEvidence {
  reason: 'retires' | 'not_found';
  provider: string;
  /** The model that goes or is gone. */
  model: string;
  requested_model: string;
  served_model: string;
  /** `YYYY-MM-DD`; `null` where no date is known. */
  retires_at: string | null;
  /** The notice that this is: so many days before the date, or fewer. */
  notice_days: number | null;
  replacement: string;
  source: string;
  trace_id: string;
}

export type ResolvedBecause = 'answered' | 'not_used' | 'next_notice' | 'date_moved';

/** The evidence of an alert of this kind. */
export const evidenceOf = ({ evidence }: Alert): ModelEvidence => evidence as unknown as ModelEvidence;

/** An alert that begins at `startedAt`. `episode` tells apart alerts that are about the same model. */
export function raised(
  loop: string,
  evidence: ModelEvidence,
  { episode, startedAt, now }: { episode: string; startedAt: number; now: number },
): AlertChange {
  const { reason, provider, model, replacement } = evidence;
  const started_at = new Date(startedAt).toISOString();
  const id = [loop, MODEL_ALERT_KIND, reason, provider, model, episode].join('\0');
  return {
    at: now,
    alert: {
      alert_id: contentHash(id).slice(0, 16),
      loop,
      kind: MODEL_ALERT_KIND,
      state: 'firing',
      started_at,
      change_at: started_at,
      change_at_run: 0,
      resolved_at: null,
      cause: { dimension: 'model', from: model, to: replacement },
      evidence: { ...evidence },
    },
  };
}

/** The end of an open alert. `recoveredAt` is when it was over, where that is known better than `now`. */
export function resolved(
  alert: Alert,
  because: ResolvedBecause,
  { now, recoveredAt = now }: { now: number; recoveredAt?: number },
): AlertChange {
  const recovered_at = new Date(recoveredAt).toISOString();
  const evidence = { ...alert.evidence, resolved_because: because, recovered_at };
  return { at: now, alert: { ...alert, state: 'resolved', resolved_at: recovered_at, evidence } };
}
