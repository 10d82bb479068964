import type { Logger } from 'pino';
import type { Clock } from '../src/clock.ts';
import type { Config } from '../src/config.ts';
import { LoopscopeError } from '../src/errors.ts';
import { type Acceptance, acceptances } from '../src/store/acceptances.ts';
import type { Store } from '../src/store/client.ts';
import { arrivalClock, SERIES_AT_ONCE_MAX, type SeriesSize, seriesSizes } from '../src/store/new-scores.ts';
import { standOut } from './detection/paging.ts';
import { isUntold, loopsWithOpenAlerts, raiseAlerts } from './detection/raise.ts';
import { loadFleet, storeSeries, takePortion } from './detection/read.ts';
import { eValueNow, type Fleet, isRead, type Kept, keyOf, newSeries } from './detection/series.ts';
import type { Metrics } from './metrics.ts';
import { arlOf, type Suite } from './suite.ts';

/**
 * Detection over the fleet, look by look: what is new is read and stepped (read.ts), the alarms that stand out in the
 * fleet are picked (paging.ts) and told (raise.ts).
 *
 * What detectors know is kept in the store, so a start reads that and no history. A history is read where there is
 * no such thing: of a loop that is new, of one whose suite asks for another promise, of one whose rows do not add up,
 * and of all when another version of this code wrote it. That goes a few portions at a time, and between them the
 * series that are up to date are looked at, so that nobody waits long for the histories of others.
 */
export interface DetectionContext {
  store: Store;
  clock: Clock;
  config: Pick<Config, 'evals'>;
  metrics: Metrics;
  log: Logger;
}

/** Rows that are read at once, but for a series that has more. */
const ROWS_AT_ONCE_MAX = 50_000;
/** Portions of histories for which those wait that are up to date. */
const HISTORIES_A_PASS = 5;

/** Why a series is read from its start. */
type Restart = 'new' | 'promise' | 'rows' | 'run_on_its_way';

/** `look` returns how many alerts changed. It is not to be called while it is at work. */
export function createDetection(context: DetectionContext) {
  const { store, clock, config, metrics, log } = context;
  let fleet: Fleet | undefined;

  const restart = (known: Fleet, { loop, suite, isScored }: SeriesSize, arl: number, reason: Restart) => {
    const key = keyOf({ loop, suite });
    known.set(key, { ...newSeries({ loop, suite }, isScored, arl), revision: known.get(key)?.revision ?? 0 });
    metrics.add('series_restarted_total', { reason });
  };

  /**
   * Reads what is new of the series that are up to date, and some of the histories. Gives whether there is more.
   * `waiting` are the series that this look has to leave to the next.
   */
  const readOn = async (known: Fleet, suites: readonly Suite[], waiting: Set<string>): Promise<boolean> => {
    const now = await arrivalClock(store);
    const sizes = await seriesSizes(store, now);
    const accepted = await acceptances(store, now);
    const there = new Set(sizes.map(keyOf));
    for (const key of known.keys()) if (!there.has(key)) known.delete(key);
    const histories: SeriesSize[] = [];
    const behind: SeriesSize[] = [];
    for (const size of sizes) {
      const key = keyOf(size);
      const arl = arlOf(size.loop, suites);
      const reason = whyRestart(known.get(key), size, arl);
      if (reason) restart(known, size, arl, reason);
      const series = known.get(key)!;
      if (waiting.has(key)) continue;
      if (!isRead(series)) histories.push(size);
      else if (
        series.seen !== size.rows ||
        series.due !== size.due ||
        series.accepted < (accepted.get(size.loop)?.length ?? 0)
      )
        behind.push(size);
    }
    let isMore = false;
    for (const portion of portions(behind, (size) => size.rows - known.get(keyOf(size))!.seen))
      isMore = (await readPortion(known, portion, { now, accepted, waiting })) || isMore;
    const unread = portions(histories, ({ rows }) => rows);
    for (const portion of unread.slice(0, HISTORIES_A_PASS))
      await readPortion(known, portion, { now, accepted, waiting });
    isMore ||= unread.length > HISTORIES_A_PASS;
    metrics.set('series_watched', {}, known.size);
    return isMore;
  };

  /** Gives whether one of them has to be read from its start. */
  const readPortion = async (
    known: Fleet,
    sizes: readonly SeriesSize[],
    {
      now,
      accepted,
      waiting,
    }: { now: number; accepted: ReadonlyMap<string, readonly Acceptance[]>; waiting: Set<string> },
  ): Promise<boolean> => {
    if (sizes.length === 0) return false;
    const portion = sizes.map((size) => known.get(keyOf(size))!);
    for (const [i, series] of portion.entries()) series.due = sizes[i]!.due;
    const spoilt = await takePortion(context, portion, now, accepted);
    let isMore = false;
    for (const [i, series] of portion.entries()) {
      if (spoilt.has(series)) {
        restart(known, sizes[i]!, series.arl, 'run_on_its_way');
        waiting.add(keyOf(series));
      } else if (series.seen < sizes[i]!.rows) {
        restart(known, sizes[i]!, series.arl, 'rows');
        isMore = true;
      }
    }
    return isMore;
  };

  /**
   * Marks the alarms that stand out, and lets those go that were over before they did. Gives the loops to tell of.
   * The marks are stored before anybody is told: what was told has to be told the end of, too.
   */
  const page = async (known: Fleet): Promise<string[]> => {
    const all = [...known.values()];
    const picked = standOut(all.map(eValueNow), config.evals.fleet_fdr);
    const loops = new Set<string>();
    const changed = new Set<Kept>();
    let held = 0;
    for (const [place, series] of all.entries()) {
      const { loop, isFresh, episodes } = series;
      for (const episode of episodes) {
        if (episode.isPaged) continue;
        if (picked.has(place)) {
          episode.isPaged = true;
          changed.add(series);
          continue;
        }
        if (!episode.recovered) held++;
        else if (!isFresh) metrics.add('alarms_passed_total', { loop, kind: episode.alarm.kind });
      }
      if (isFresh || isUntold(series)) loops.add(loop);
      if (isFresh) continue;
      series.episodes = episodes.filter(({ isPaged, recovered }) => isPaged || !recovered);
      if (series.episodes.length < episodes.length) changed.add(series);
    }
    await storeSeries(store, [...changed]);
    metrics.set('alarms_held', {}, held);
    return [...loops];
  };

  const raise = async (known: Fleet, loops: readonly string[]): Promise<number> => {
    if (loops.length === 0) return 0;
    const byLoop = Map.groupBy(known.values(), ({ loop }) => loop);
    const open = await loopsWithOpenAlerts(store);
    let changes = 0;
    for (const loop of loops) {
      const ofLoop = byLoop.get(loop)!;
      const isQuiet = !open.has(loop) && ofLoop.every(({ episodes }) => episodes.length === 0);
      if (!isQuiet) changes += await raiseOf(loop, ofLoop);
      else if (ofLoop.every(isRead)) for (const series of ofLoop) series.isFresh = false;
    }
    return changes;
  };

  const raiseOf = async (loop: string, ofLoop: readonly Kept[]): Promise<number> => {
    try {
      const changes = await raiseAlerts({ store, now: () => clock.now() }, loop, ofLoop);
      await storeSeries(store, ofLoop);
      for (const { alert } of changes) {
        const { alert_id, kind, state, change_at_run } = alert;
        metrics.add('alerts_total', { loop, kind, state });
        log.warn({ loop, alert_id, kind, state, change_at_run }, `alert ${state}`);
      }
      return changes.length;
    } catch (error) {
      // One loop's bad data must not hide the others.
      if (error instanceof LoopscopeError && error.retryable) throw error;
      log.error({ loop, reason: (error as Error).message }, 'alarm could not be told; it is tried again');
      return 0;
    }
  };

  return {
    look: async (suites: readonly Suite[]): Promise<number> => {
      let changes = 0;
      try {
        fleet ??= await loadFleet(store);
        const waiting = new Set<string>();
        for (let isMore = true; isMore; ) {
          isMore = await readOn(fleet, suites, waiting);
          changes += await raise(fleet, await page(fleet));
        }
      } catch (error) {
        // What was stepped may be more than what was stored: the next look starts from what was.
        fleet = undefined;
        throw error;
      }
      return changes;
    },
  };
}

/** Cuts a list into pieces that the store can be asked for at once. */
function portions(sizes: readonly SeriesSize[], rowsOf: (size: SeriesSize) => number): SeriesSize[][] {
  const pieces: SeriesSize[][] = [];
  let left = 0;
  for (const size of sizes) {
    const piece = pieces.at(-1);
    left -= rowsOf(size);
    if (piece && left >= 0 && piece.length < SERIES_AT_ONCE_MAX) piece.push(size);
    else {
      pieces.push([size]);
      left = ROWS_AT_ONCE_MAX - rowsOf(size);
    }
  }
  return pieces;
}

function whyRestart(
  series: Kept | undefined,
  { isScored, rows }: SeriesSize,
  arl: number,
): Restart | undefined {
  if (!series || series.isScored !== isScored) return 'new';
  if (series.arl !== arl) return 'promise';
  return rows < series.seen ? 'rows' : undefined;
}
