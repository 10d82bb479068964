import type { Observation } from '../../src/records/observation.ts';
import type { Acceptance } from '../../src/store/acceptances.ts';
import type { SeriesName, Told } from '../../src/store/new-scores.ts';
import {
  type AlarmEvent,
  acceptWatch,
  initialWatch,
  type RecoveredEvent,
  stepScore,
  stepWatch,
  type WatchState,
} from '../detect/watch.ts';
import { eValueOf } from './paging.ts';

/**
 * A series as detection keeps it: how far it was read, what the detector knows, and what of that is still to be told.
 *
 * All three are one value, stored as one row. So whenever a process dies, the next one goes on from a moment at which
 * they fitted together: what was read after it is read again and comes out the same, what was to be told is told.
 */

/** To be raised with any change after which a state that is stored means something else. */
export const STATE_VERSION = 2;

/** Runs after an alarm by which its moment and cause are judged again, and so many more, for those that come late. */
export const JUDGED_AGAIN_RUNS = 200;
const LATE_RUNS = 20;

/** Of one series that are not over, or not told to be over. More is only there where nobody can tell anyone. */
const EPISODES_MAX = 16;

/** Plain data. */
export interface Series extends SeriesName {
  isScored: boolean;
  arl: number;
  /** Counted rows read, ends that were due, and until when (milliseconds): see src/store/new-scores.ts. */
  seen: number;
  due: number;
  until: number;
  watch: WatchState;
  /** Acceptances of the loop, in their order, that were taken. */
  accepted: number;
  /** Oldest first. */
  episodes: Episode[];
  /** Its history was just read: its episodes have to be held against the alerts that there are. */
  isFresh: boolean;
}

/** A series and the number of its state in the store. */
export type Kept = Series & { revision: number };

/** By loop and suite. */
export type Fleet = Map<string, Kept>;

export const keyOf = ({ loop, suite }: SeriesName): string => `${loop}\n${suite}`;

/** Whether anything of it was read. */
export const isRead = ({ until }: Series): boolean => until > 0;

/** What began with an alarm. It is kept until all that there is to say of it is said. */
export interface Episode {
  alarm: AlarmEvent;
  /** What the series brought to the fleet's e-BH then. */
  eValue: number;
  /** What else fell with it, and how many of these the alert tells of. */
  joined: AlarmEvent[];
  joinedTold: number;
  recovered: RecoveredEvent | null;
  /** By whom and why it was accepted as the new normal, which ends it as well. */
  accepted: { by: string; reason: string } | null;
  /** Whether it stood out in the fleet (paging.ts). */
  isPaged: boolean;
  /** The alert that tells of it. */
  alertId: string | null;
  /** After how many runs of the series it is judged again; null when that was done. */
  judgeAt: number | null;
}

/** A series of which nothing was read. */
export const newSeries = ({ loop, suite }: SeriesName, isScored: boolean, arl: number): Series => ({
  loop,
  suite,
  isScored,
  arl,
  seen: 0,
  due: 0,
  until: 0,
  watch: initialWatch({ arl }),
  accepted: 0,
  episodes: [],
  isFresh: false,
});

/**
 * Something told of a run. Changes `series` in place, but for `until`: that is moved when all of a portion is taken.
 * Gives the alarms it raised. Throws `RangeError` for a score that is none, which then is as if it were not there.
 */
export function take(series: Series, told: Told): readonly AlarmEvent[] {
  series.seen += told.rows;
  // An error stands in the place of a score: there is none, and nothing else is new about the run.
  if (told.as === 'nothing' || (told.as === 'score' && told.score === null)) return NONE;
  const run = observation(told);
  const events = told.as === 'score' ? stepScore(series.watch, run) : stepWatch(series.watch, run);
  let alarms: AlarmEvent[] | undefined;
  for (const event of events) {
    if (event.type === 'recovered') close(series, event);
    else {
      open(series, event);
      alarms = [...(alarms ?? []), event];
    }
  }
  return alarms ?? NONE;
}

const NONE: readonly AlarmEvent[] = [];

/**
 * The run as the detector's step has it. Its place among the runs is not known here; its start says the same of the
 * order, which is all that a step asks. Versions are read when an alarm is described.
 */
const observation = ({ startedAt, runId, at, ...told }: Told): Observation => ({
  index: startedAt,
  runId,
  at,
  score: told.score,
  checkerPass: told.checkerPass,
  effects: told.effects,
  inputHash: told.as === 'score' ? '' : told.inputHash,
  outputHash: told.as === 'score' ? '' : told.outputHash,
  servedModel: '',
  promptVersion: '',
  toolsVersion: '',
  checkerVersion: '',
  datasetVersion: '',
  task: '',
});

function open({ episodes, watch }: Series, alarm: AlarmEvent): void {
  // A rise is nothing that could be over.
  if (alarm.kind === 'golden_rise') return;
  const leader = alarm.joins && current(episodes, alarm.joins);
  if (leader) leader.joined.push(alarm);
  else
    episodes.push({
      alarm,
      eValue: eValueOf(watch) ?? 0,
      joined: [],
      joinedTold: 0,
      recovered: null,
      accepted: null,
      isPaged: false,
      alertId: null,
      judgeAt: watch.runs + JUDGED_AGAIN_RUNS + LATE_RUNS,
    });
  if (episodes.length > EPISODES_MAX) episodes.shift();
}

function close({ episodes }: Series, event: RecoveredEvent): void {
  const episode = current(episodes, event.kind);
  if (episode) episode.recovered = event;
}

const current = (episodes: readonly Episode[], kind: AlarmEvent['kind']) =>
  episodes.findLast(({ alarm, recovered }) => alarm.kind === kind && recovered === null);

/** What the series brings to the fleet's e-BH now: of an alarm that is over and was not looked at, what it had then. */
export function eValueNow({ watch, episodes }: Series): number | undefined {
  const missed = episodes.filter(({ isPaged, recovered }) => !isPaged && recovered !== null);
  const now = eValueOf(watch);
  return missed.length === 0 ? now : Math.max(now ?? 0, ...missed.map(({ eValue }) => eValue));
}

/**
 * Takes those of the loop's acceptances, in their order, that were made before the time `before` and were not taken yet:
 * a history that is read again takes each at the place where it was made. Changes `series` in place.
 */
export function accept(series: Series, ofLoop: readonly Acceptance[], before: number): void {
  for (; series.accepted < ofLoop.length && ofLoop[series.accepted]!.at < before; series.accepted++) {
    const { kinds, by, reason } = ofLoop[series.accepted]!;
    for (const kind of kinds as AlarmEvent['kind'][]) {
      if (!acceptWatch(series.watch, kind)) continue;
      const episode = current(series.episodes, kind);
      if (!episode) continue;
      const { runId, at } = series.watch.latest!;
      episode.recovered = { type: 'recovered', kind, runId, at };
      episode.accepted = { by, reason };
    }
  }
}

/** All of its history was taken: of what that holds, the newest episode of each kind is worth telling. In place. */
export function noteFresh(series: Series): void {
  series.isFresh = true;
  series.episodes = series.episodes.filter(
    (episode, i, all) => all.findLastIndex(({ alarm }) => alarm.kind === episode.alarm.kind) === i,
  );
}
