import { contentHash } from '../../src/records/normalize.ts';
import type { Alert } from '../../src/store/alerts.ts';
import type { Suspicion, UnmeasuredReason } from './judge.ts';

/** Alerts of kind `unmeasured`: a suite gives no scores of a loop that has runs. A suite has one open at most. */
export const UNMEASURED_ALERT_KIND = 'unmeasured';

export interface UnmeasuredEvidence {
  suite: string;
  dataset: string;
  reason: UnmeasuredReason;
  /** Runs that wait for a score. */
  runs_waiting: number;
  /** Jobs that failed in a row, and what the last one said. */
  jobs_failed: number;
  message: string;
  /** Runs in a row that got an error for a score. */
  errors: number;
  /** ISO 8601; `null` when no run ever got a score. */
  last_scored_at: string | null;
}

export type ResolvedBecause = 'measured' | 'removed';

/** The evidence of an alert of this kind. */
export const evidenceOf = ({ evidence }: Alert): UnmeasuredEvidence =>
  evidence as unknown as UnmeasuredEvidence;

/** The alert of what is amiss, found at `now`. Whoever finds the same finds the same alert. */
export function raised(loop: string, { since }: Suspicion, evidence: UnmeasuredEvidence, now: number): Alert {
  const change_at = new Date(since).toISOString();
  return {
    alert_id: contentHash([loop, UNMEASURED_ALERT_KIND, evidence.suite, change_at].join('\0')).slice(0, 16),
    loop,
    kind: UNMEASURED_ALERT_KIND,
    state: 'firing',
    started_at: new Date(now).toISOString(),
    change_at,
    change_at_run: 0,
    resolved_at: null,
    cause: null,
    evidence: { ...evidence },
  };
}

/** The end of an open alert at `now`. */
export function resolved(alert: Alert, because: ResolvedBecause, now: number): Alert {
  const recovered_at = new Date(now).toISOString();
  const evidence = { ...alert.evidence, resolved_because: because, recovered_at };
  return { ...alert, state: 'resolved', resolved_at: recovered_at, evidence };
}
