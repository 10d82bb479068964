import { Cron } from 'croner';
import type { Standing } from '../detect/watch.ts';
import { UNMEASURED_ALERT_KIND } from '../unmeasured/alert.ts';

/** What a loop is, in one word, worst first: the order in which `status` lists them. */
export const LOOP_STATES = [
  'silently_failing',
  'failing',
  'suspect',
  'idle',
  'unmeasured',
  'healthy',
] as const;
export type LoopState = (typeof LOOP_STATES)[number];

/** What the word hangs on. Times are milliseconds since the epoch. */
export interface LoopFacts {
  now: number;
  /** Cron pattern of a registered loop. */
  schedule: string | undefined;
  /** `null` where it never ran. */
  lastRunAt: number | null;
  /** Verdicts among its last runs, and those that passed. */
  recent: { verdicts: number; passes: number };
  /** An alert that is firing, and the share of verdicts since its change that passed; `null` without verdicts. */
  alert: { kind: string; passRateSince: number | null } | undefined;
  detector: Pick<Standing, 'phase' | 'eValue' | 'threshold'>;
  /** Upper end of the interval of its golden score; `null` where nothing is scored. */
  goldenHigh: number | null;
}

/** What falls while verdicts may go on passing. */
const SILENT: ReadonlySet<string> = new Set(['golden_drop', 'no_effect', 'output_collapse']);

/** From this share of passing verdicts on, a loop counts as passing its own checker. */
const PASSING = 0.5;
/** A loop whose golden score is surely below this does less than half of its work. */
const GOOD = 0.5;
/** Fewer verdicts than this say nothing. */
const VERDICTS_MIN = 5;
/** Share of the evidence an alarm needs from which a loop is worth a look. */
const SUSPECT_SHARE = 0.01;
/** Without a schedule, nobody knows when a run is missing: so long it may be quiet. */
const QUIET_MS_MAX = 7 * 86_400_000;

/**
 * The state of a loop. A loop that misses its schedule is idle whether it is measured or not; one without a
 * schedule has to be measured before its silence says anything.
 */
export function loopState(facts: LoopFacts): LoopState {
  const { recent, detector, lastRunAt, now, schedule } = facts;
  // That nobody measures a loop says nothing of how it does.
  const isUnmeasured = facts.alert?.kind === UNMEASURED_ALERT_KIND;
  const alert = isUnmeasured ? undefined : facts.alert;
  const passing = alert?.passRateSince !== null && alert !== undefined && alert.passRateSince >= PASSING;
  if (alert && passing && SILENT.has(alert.kind)) return 'silently_failing';
  if (alert && !passing) return 'failing';
  if (recent.verdicts >= VERDICTS_MIN && recent.passes / recent.verdicts < PASSING) return 'failing';
  // The detector may know of a fall that no alert tells of: the evals role is behind, or does not run.
  const nearAlarm = detector.phase === 'watching' && detector.eValue >= SUSPECT_SHARE * detector.threshold;
  // What was never good cannot fall, and must not look green either.
  const neverGood = detector.phase === 'watching' && facts.goldenHigh !== null && facts.goldenHigh < GOOD;
  if (alert || detector.phase === 'alarmed' || nearAlarm || neverGood) return 'suspect';
  if (lastRunAt === null || (schedule !== undefined && missedTwo(schedule, lastRunAt, now))) return 'idle';
  if (detector.phase === 'learning' || isUnmeasured) return 'unmeasured';
  if (schedule === undefined && now - lastRunAt > QUIET_MS_MAX) return 'idle';
  return 'healthy';
}

/** Whether a loop has let its two latest times pass. Schedules are in UTC. */
function missedTwo(schedule: string, lastRunAt: number, now: number): boolean {
  const [, beforeLast] = new Cron(schedule, { paused: true, timezone: 'UTC' }).previousRuns(2, new Date(now));
  return beforeLast !== undefined && lastRunAt < beforeLast.getTime();
}
