import type { Bound } from './baseline.ts';
import type { Measure } from './measures.ts';
import type { Kind } from './report.ts';

/** Something happened to a loop: what is known of it without looking at the loop's runs. Plain data. */
export type WatchEvent = AlarmEvent | RecoveredEvent;

export interface AlarmEvent {
  type: 'alarm';
  kind: Kind;
  /** The kind of the open alarm that tells of the same change already; null where this one is news. */
  joins: Kind | null;
  measure: Measure;
  /** The loop's latest run at the time. */
  runId: string;
  at: string;
  /** The evidence, what it had to reach, and the run length to a false alarm that this guarantees. */
  eValue: number;
  threshold: number;
  arl: number;
  /** What the measure was held against. */
  bound: Bound;
  /** Values of the measure in its regime, the last one included: how far back the change can lie. */
  regime: number;
}

/** An alarm of this kind that joined no other is over. What had joined it and is not well follows as an alarm. */
export interface RecoveredEvent {
  type: 'recovered';
  kind: Kind;
  runId: string;
  at: string;
}
