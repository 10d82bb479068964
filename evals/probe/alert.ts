import { contentHash } from '../../src/records/normalize.ts';
import type { Alert, AlertChange } from '../../src/store/alerts.ts';
import type { ProbeRow } from '../../src/store/probes.ts';
import type { CheckerQuality, Episode } from './checker.ts';
import type { Comparison } from './paired.ts';
import type { SeriesAlarm } from './series.ts';

/**
 * Alerts that probes raise: `golden_drop` where the maker's answers became worse, `checker_drift` where the checker passes
 * wrong answers or refuses right ones. Their evidence says `source: probe`, by which they are told from those that the
 * loop's own runs raise; those of the one source say nothing of the other's.
 */
export const PROBE_SOURCE = 'probe';

/** Whether probes raised it: nothing that the loop's runs do opens, changes or ends it. */
export const isProbeAlert = ({ evidence }: Pick<Alert, 'evidence'>): boolean =>
  evidence['source'] === PROBE_SOURCE;

const LOOK_AT_MAX = 20;

interface Common {
  source: typeof PROBE_SOURCE;
  suite: string;
  /** Traces of probes to look at. */
  look_at: string[];
}

/** Of a change of model, by the same items before and after. */
export interface PairedEvidence extends Common {
  by: 'pairs';
  job_id: string;
  event_id: string;
  golden: { before: number; after: number };
  /** Items with a score before and after, those that fell and those that rose. */
  pairs: number;
  worse: number;
  better: number;
  /** Of the look when the change's job was over, or of those since. */
  p_value: number | null;
  e_value: number | null;
  /** The share of harmless changes that raises such an alert, at most. */
  false_alarm: number;
  unpaired: number;
  answered_by_others: number;
}

/** Of the series of scheduled probes. */
export interface SeriesEvidence extends Common {
  by: 'series';
  golden: SeriesAlarm['alarm']['golden'];
  scored: SeriesAlarm['alarm']['evidence']['scored'];
  e_value: number;
  threshold: number;
  arl: number;
}

export interface CheckerEvidence extends Common {
  by: 'verdicts';
  fault: Episode['fault'];
  agent: string;
  verdicts: number;
  mistakes: number;
  e_value: number;
  arl: number;
  sensitivity: CheckerQuality['sensitivity'] | null;
  specificity: CheckerQuality['specificity'] | null;
}

export type ProbeEvidence = PairedEvidence | SeriesEvidence | CheckerEvidence;

/** The evidence of an alert that probes raised. */
export const evidenceOf = ({ evidence }: Alert): ProbeEvidence => evidence as unknown as ProbeEvidence;

export interface About {
  loop: string;
  suite: string;
  /** What makes it this alert and no other, besides loop, kind and suite. */
  id: readonly string[];
  /** Milliseconds: when it was raised, and when what it is about began. */
  startedAt: number;
  changeAt: number;
  cause: Alert['cause'];
}

/** An alert of a maker that became worse. */
export const dropAlert = (
  about: About,
  evidence: Omit<PairedEvidence, 'source' | 'suite'> | Omit<SeriesEvidence, 'source' | 'suite'>,
): Alert => alertOf('golden_drop', about, evidence);

/** An alert of a checker that does not check. */
export const checkerAlert = (about: About, evidence: Omit<CheckerEvidence, 'source' | 'suite'>): Alert =>
  alertOf('checker_drift', about, evidence);

function alertOf(
  kind: 'golden_drop' | 'checker_drift',
  { loop, suite, id, startedAt, changeAt, cause }: About,
  { look_at, ...evidence }: { look_at: string[] },
): Alert {
  return {
    alert_id: contentHash([loop, kind, PROBE_SOURCE, suite, ...id].join('\0')).slice(0, 16),
    loop,
    kind,
    state: 'firing',
    started_at: new Date(startedAt).toISOString(),
    change_at: new Date(changeAt).toISOString(),
    change_at_run: 0,
    resolved_at: null,
    cause,
    evidence: { source: PROBE_SOURCE, suite, ...evidence, look_at: look_at.slice(0, LOOK_AT_MAX) },
  };
}

/** The end of an open alert. `recoveredAt` is ISO 8601. */
export function resolved(alert: Alert, recoveredAt: string, now: number): AlertChange {
  const evidence = { ...alert.evidence, recovered_at: recoveredAt };
  return { at: now, alert: { ...alert, state: 'resolved', resolved_at: recoveredAt, evidence } };
}

/** What a comparison comes to in an alert's evidence. */
export const figuresOf = ({ pairs, worse, better, unpaired, answeredByOthers }: Comparison) => ({
  pairs,
  worse,
  better,
  unpaired,
  answered_by_others: answeredByOthers,
});

export const tracesOf = (probes: readonly ProbeRow[]): string[] =>
  probes.map(({ trace_id }) => trace_id).filter((trace) => trace !== '');
