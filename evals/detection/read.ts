import type { Logger } from 'pino';
import type { Acceptance } from '../../src/store/acceptances.ts';
import type { Store } from '../../src/store/client.ts';
import { readStates, storeStates } from '../../src/store/detector-states.ts';
import { type Place, SERIES_AT_ONCE_MAX, type Told, tell } from '../../src/store/new-scores.ts';
import type { AlarmEvent } from '../detect/watch.ts';
import type { Metrics } from '../metrics.ts';
import {
  accept,
  type Fleet,
  isRead,
  type Kept,
  keyOf,
  noteFresh,
  type Series,
  STATE_VERSION,
  take,
} from './series.ts';

/**
 * Takes series further by what is new in the store, and keeps what they know there.
 *
 * A portion is read row by row and never held; its series are stored together when all of it is taken. A series that
 * could not be taken whole is given back as spoilt: what it knows is neither stored nor to be used.
 */
export interface ReadContext {
  store: Store;
  metrics: Metrics;
  log: Logger;
}

/** A score whose run is not there so long after it is told without it. */
const RUN_LATE_MS_MAX = 60_000;

/** Every series as it was left. */
export async function loadFleet(store: Store): Promise<Fleet> {
  const fleet: Fleet = new Map();
  for await (const rows of readStates(store, STATE_VERSION))
    for (const { revision, state } of rows) {
      const series = JSON.parse(state) as Series;
      fleet.set(keyOf(series), { ...series, revision });
    }
  return fleet;
}

/** Stores series as they are now. */
export async function storeSeries(store: Store, changed: readonly Kept[]): Promise<void> {
  for (let i = 0; i < changed.length; i += SERIES_AT_ONCE_MAX) {
    const piece = changed.slice(i, i + SERIES_AT_ONCE_MAX);
    for (const series of piece) series.revision++;
    await storeStates(
      store,
      STATE_VERSION,
      piece.map(({ revision, ...series }) => ({
        loop: series.loop,
        stream: series.suite,
        revision,
        state: JSON.stringify(series),
      })),
    );
  }
}

/**
 * Takes a portion of series to the time `now` of the database, with what was `accepted` of their loops, and stores them. Gives the spoilt ones: those that
 * have a score whose run is still on its way.
 */
export async function takePortion(
  { store, metrics, log }: ReadContext,
  portion: readonly Kept[],
  now: number,
  accepted: ReadonlyMap<string, readonly Acceptance[]>,
): Promise<Set<Kept>> {
  const byKey = new Map(portion.map((series) => [keyOf(series), series]));
  const untils = new Map<Series, number>();
  const fresh = new Set(portion.filter((series) => !isRead(series)));
  const spoilt = new Set<Kept>();
  for await (const rows of tell(store, portion.map(placeOf), now))
    for (const told of rows) {
      const series = byKey.get(keyOf(told));
      // A name that is no valid text does not come back as it was asked for.
      if (!series || spoilt.has(series)) continue;
      accept(series, acceptedOf(series), told.toldAt);
      if (told.isKnown) {
        const alarms = takeValid(series, told);
        // Those of a history were noted when they were raised.
        if (!fresh.has(series)) noteAlarms(series, alarms);
      } else if (told.until > now - RUN_LATE_MS_MAX) spoilt.add(series);
      else takeWithoutRun(series, told);
      untils.set(series, Math.max(untils.get(series) ?? 0, told.until));
    }
  const whole = portion.filter((series) => !spoilt.has(series));
  for (const series of whole) accept(series, acceptedOf(series), now + 1);
  for (const series of whole) series.until = Math.max(series.until, untils.get(series) ?? 0);
  for (const series of fresh) if (!spoilt.has(series)) noteFresh(series);
  await storeSeries(store, whole);
  return spoilt;

  function acceptedOf({ loop }: Series): readonly Acceptance[] {
    return accepted.get(loop) ?? [];
  }

  function takeValid(series: Series, told: Told): readonly AlarmEvent[] {
    try {
      return take(series, told);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      // One bad row must not hide those behind it.
      metrics.add('scores_invalid_total', { loop: series.loop });
      log.error({ loop: series.loop, run: told.runId, reason: error.message }, 'score left out');
      return [];
    }
  }

  function takeWithoutRun(series: Series, told: Told): void {
    take(series, { ...told, as: 'nothing' });
    metrics.add('scores_without_run_total', { loop: series.loop });
  }

  function noteAlarms({ loop, suite }: Series, alarms: readonly AlarmEvent[]): void {
    for (const { kind, runId, eValue, joins } of alarms) {
      metrics.add('alarms_total', { loop, kind });
      log.warn({ loop, suite, kind, run: runId, e_value: eValue, joins }, 'alarm');
    }
  }
}

const placeOf = ({ loop, suite, isScored, until }: Series): Place => ({ loop, suite, isScored, until });
