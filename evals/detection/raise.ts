import type { Observation } from '../../src/records/observation.ts';
import { type Alert, type AlertChange, appendAlert, listAlerts } from '../../src/store/alerts.ts';
import { loopsAround } from '../../src/store/attribution.ts';
import type { Store } from '../../src/store/client.ts';
import { suiteScores } from '../../src/store/new-scores.ts';
import { loopSeries } from '../../src/store/scores.ts';
import { isOfRuns, isTold, type Joined, settle, type Tale } from '../alerts.ts';
import type { Alarm } from '../detect/report.ts';
import { type AlarmEvent, describeEvent, rejudge } from '../detect/watch.ts';
import { type Episode, isRead, JUDGED_AGAIN_RUNS, type Series } from './series.ts';

/**
 * From a loop's episodes to its alerts. Only here are the runs of a loop read as a whole: where there is something
 * to tell of it, to say what it is.
 */
export interface RaiseContext {
  store: Store;
  now: () => number;
}

/** A run's end may lie ahead of this machine's clock. */
const CLOCKS_APART_MS = 86_400_000;

/** Whether there is something to say of it that the alerts do not say yet. */
export const isUntold = (series: Series): boolean =>
  series.episodes.some(
    (episode) =>
      episode.isPaged &&
      (episode.alertId === null ||
        episode.joinedTold < episode.joined.length ||
        episode.recovered !== null ||
        isToJudge(series, episode)),
  );

/** Whether enough has come since the alarm to judge it again. */
const isToJudge = ({ watch }: Series, { judgeAt, recovered }: Episode): boolean =>
  judgeAt !== null && recovered === null && watch.runs >= judgeAt;

/**
 * Stores what has to be told of a loop, all of whose series these are, and takes note of it in them, in place.
 * Gives the changes that were stored.
 */
export async function raiseAlerts(
  { store, now }: RaiseContext,
  loop: string,
  ofLoop: readonly Series[],
): Promise<AlertChange[]> {
  const alerts = (await listAlerts(store, { loop })).filter(isOfRuns);
  const isFresh = ofLoop.some((series) => series.isFresh) && ofLoop.every(isRead);
  if (isFresh)
    // What is told already needs not stand out once more.
    for (const { episodes } of ofLoop)
      for (const episode of episodes) episode.isPaged ||= isTold(episode.alarm, alerts);
  const told = ofLoop.flatMap((series) =>
    series.episodes.flatMap((episode) => (episode.isPaged ? { series, episode } : [])),
  );
  const tales: Tale[] = [];
  if (told.length > 0) {
    const runs = await loopSeries(store, loop, Math.floor(now() + CLOCKS_APART_MS));
    const scored = await seriesOfSuites(store, ofLoop, runs);
    for (const { series, episode } of told)
      tales.push(await taleOf(store, series, episode, scored.get(series)!));
  }
  const { changes, alertIds } = settle(loop, tales, alerts, { now: now(), isFresh });
  for (const change of changes) await appendAlert(store, change);
  for (const [i, { episode }] of told.entries()) {
    episode.alertId = alertIds[i]!;
    episode.joinedTold = episode.joined.length;
    if (tales[i]!.judged) episode.judgeAt = null;
  }
  for (const series of ofLoop) {
    if (isFresh) series.isFresh = false;
    series.episodes = series.episodes.filter(({ recovered }) => recovered === null);
  }
  return changes;
}

/** The runs as each series has them: an alarm of a suite is told by its own scores. */
async function seriesOfSuites(
  store: Store,
  ofLoop: readonly Series[],
  runs: readonly Observation[],
): Promise<Map<Series, readonly Observation[]>> {
  const each = new Map<Series, readonly Observation[]>();
  for (const series of ofLoop) {
    const scores = series.isScored ? await suiteScores(store, series) : new Map<string, number | null>();
    each.set(
      series,
      runs.map((run) => ({ ...run, score: scores.get(run.runId) ?? null })),
    );
  }
  return each;
}

async function taleOf(
  store: Store,
  series: Series,
  episode: Episode,
  runs: readonly Observation[],
): Promise<Tale> {
  const { alarm: event, joined, recovered, accepted, alertId } = episode;
  const indexOf = (runId: string) => runs.find((run) => run.runId === runId)?.index ?? runs.length;
  const short = ({ kind, at, runId, eValue }: AlarmEvent): Joined => ({
    kind,
    at,
    at_run: indexOf(runId),
    e_value: eValue,
  });
  const described = describeEvent(event, runs);
  const known = (later: number) => runs.filter(({ index }) => index <= described.at_run + later);
  const isNew = alertId === null;
  return {
    alarm: isNew ? await inTheFleet(store, series.loop, described, known(0)) : described,
    joined: joined.map(short),
    recovery: recovered && { at: recovered.at, at_run: indexOf(recovered.runId), accepted },
    alertId,
    judged:
      !isNew && isToJudge(series, episode)
        ? await inTheFleet(store, series.loop, described, known(JUDGED_AGAIN_RUNS))
        : undefined,
  };
}

/** The alarm as `runs` show it, and as what other loops did around a change of model lets it appear. */
async function inTheFleet(
  store: Store,
  loop: string,
  alarm: Alarm,
  runs: readonly Observation[],
): Promise<Alarm> {
  const judged = rejudge(alarm, runs);
  const model = judged.evidence.candidates.find(({ dimension }) => dimension === 'model');
  if (!model) return judged;
  const at = Date.parse(judged.change_at);
  const fleet = await loopsAround(store, { loop, from: model.from, to: model.to, at, windowMs: AROUND_MS });
  return rejudge(alarm, runs, { fleet: [fleet] });
}

/** Others that changed so long before or after changed with it. */
const AROUND_MS = 7 * 86_400_000;

/** The loops that have open alerts of detectors. */
export async function loopsWithOpenAlerts(store: Store): Promise<Set<string>> {
  const isOpen = (alert: Alert) => alert.state === 'firing' && isOfRuns(alert);
  return new Set((await listAlerts(store)).filter(isOpen).map(({ loop }) => loop));
}
