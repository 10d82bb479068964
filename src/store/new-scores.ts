import type { Observation } from '../records/observation.ts';
import type { Store } from './client.ts';

/**
 * What the detectors have not seen yet: scores that came, and ends of runs that get no score.
 *
 * A series is a loop's runs as one suite scores them, in the order in which they are told. A run is told
 *   whole    when its score came, if that was within the grace after its end, or before it;
 *   as work  when it ended and the grace has passed without a score: what it did and answered;
 *   as score when its score came after that: its score and verdict, and no more.
 * A loop that nobody scores is one series whose runs are told as work, at once.
 *
 * Which it is, and when, follows from the times of arrival alone. So a series reads the same whoever reads it, and
 * in whatever portions. The reader remembers `until` when it has been told, and how many rows it has `seen`.
 *
 * Nothing is missed and nothing told twice. Rows are only ever added, and what is told came after `until`. A row that
 * was slow and turned up behind `until` makes `seen` differ from the number of rows there are, for ever and whatever
 * else comes: then the reader starts that series again. Ends of runs that may still be scored need no count: the
 * grace is longer than any insert takes.
 */

/** How long after a run's end its score may come and be told together with the rest. */
export const SCORE_GRACE_MS = 3_600_000;

/** Series that are read at once: their names travel in the request's address. */
export const SERIES_AT_ONCE_MAX = 500;

export interface SeriesName {
  loop: string;
  /** '' for scores that came with their run's record, and where there are no scores. */
  suite: string;
}

/** What there is of a series at a moment: it has something to tell when that differs from what was there before. */
export interface SeriesSize extends SeriesName {
  isScored: boolean;
  /** Rows that the reader counts: scores, or ends where the loop has none. */
  rows: number;
  /** Ends of runs that are told now if they were not before. */
  due: number;
}

/** How far a series was read. */
export interface Place extends SeriesName {
  isScored: boolean;
  /** Milliseconds since the epoch; 0 for all of it. */
  until: number;
}

export interface Told
  extends Pick<
      Observation,
      'runId' | 'at' | 'score' | 'checkerPass' | 'effects' | 'inputHash' | 'outputHash'
    >,
    SeriesName {
  /** `nothing`: rows that tell nothing new, as a second score of a run by its suite. They count all the same. */
  as: 'whole' | 'work' | 'score' | 'nothing';
  /** When it is told (milliseconds), and when the run began. */
  toldAt: number;
  startedAt: number;
  /** Whether the run itself is there. */
  isKnown: boolean;
  /** Counted rows that are new, and until when this row has told. */
  rows: number;
  until: number;
}

/** The database's time in milliseconds, by which all arrivals are told. */
export async function arrivalClock(store: Store): Promise<number> {
  const [row] = await store.query<{ now: number }>('SELECT toUnixTimestamp64Milli(now64(3)) AS now');
  return row!.now;
}

/** Every series there is at the time `now` of the database, by loop and suite. */
export async function seriesSizes(store: Store, now: number): Promise<SeriesSize[]> {
  type Row = readonly [loop: string, isEnds: 0 | 1, suite: string, rows: number, due: number];
  const pieces = store.stream<Row>(
    `SELECT * FROM (
       SELECT loop, 0 AS is_ends, toString(suite) AS of_suite,
              countIf(arrived_at <= fromUnixTimestamp64Milli({now:Int64})) AS n, 0 AS due
       FROM ${store.database}.eval_scores GROUP BY loop, suite
       UNION ALL
       SELECT loop, 1 AS is_ends, '' AS of_suite, countIf(arrived_at <= fromUnixTimestamp64Milli({now:Int64})) AS n,
              countIf(arrived_at <= fromUnixTimestamp64Milli({now:Int64} - {grace:Int64})) AS due
       FROM ${store.database}.run_ends GROUP BY loop)
     ORDER BY loop, is_ends, of_suite`,
    { now, grace: SCORE_GRACE_MS },
  );
  const sizes: SeriesSize[] = [];
  let ofLoop: SeriesSize[] = [];
  for await (const rows of pieces)
    for (const [loop, isEnds, suite, n, due] of rows) {
      if (ofLoop[0]?.loop !== loop) ofLoop = [];
      if (isEnds === 0) ofLoop.push({ loop, suite, isScored: true, rows: n, due: 0 });
      else if (ofLoop.length === 0) ofLoop.push({ loop, suite: '', isScored: false, rows: n, due: n });
      else for (const series of ofLoop) series.due = due;
      if (isEnds === 0 || !ofLoop[0]!.isScored) sizes.push(ofLoop.at(-1)!);
    }
  return sizes;
}

/**
 * What these series, at most `SERIES_AT_ONCE_MAX` of them, have to tell from their places to the time `now` of the
 * database: by series in the order told; what is told at once, in order of the runs' starts. Of several scores of a
 * run by its suite the earliest stands, also where it is an error, which is no score.
 */
export async function* tell(
  store: Store,
  places: readonly Place[],
  now: number,
): AsyncGenerator<readonly Told[]> {
  const fromStart = places.every(({ until }) => until === 0);
  const pieces = store.stream<Row>(tellSql(store.database, fromStart), {
    now,
    loops: [...new Set(places.map(({ loop }) => loop))],
    of_loop: places.map(({ loop }) => loop),
    of_suite: places.map(({ suite }) => suite),
    untils: places.map(({ until }) => until),
    graces: places.map(({ isScored }) => (isScored ? SCORE_GRACE_MS : 0)),
  });
  for await (const rows of pieces) yield rows.map(toTold);
}

type Row = readonly [
  loop: string,
  suite: string,
  runId: string,
  as: Told['as'],
  toldAt: number,
  until: number,
  newScores: number,
  newEnds: number,
  grace: number,
  score: number | null,
  started: number,
  isKnown: 0 | 1,
  checkerPass: 0 | 1 | null,
  effects: number,
  inputHash: string,
  outputHash: string,
];

const toTold = (row: Row): Told => {
  const as = row[3];
  const isScored = row[8] > 0;
  // The score of a run is counted where it is told, and an end only where nothing is scored.
  const rows = isScored ? (as === 'work' ? 0 : row[6]) : row[7];
  return {
    loop: row[0],
    suite: row[1],
    runId: row[2],
    as,
    toldAt: row[4],
    until: row[5],
    rows,
    score: as === 'work' ? null : row[9],
    startedAt: row[10],
    at: new Date(row[10]).toISOString(),
    isKnown: row[11] === 1,
    checkerPass: row[12] === null ? null : row[12] === 1,
    effects: row[13],
    inputHash: row[14],
    outputHash: row[15],
  };
};

function tellSql(db: string, fromStart: boolean): string {
  const places = `(SELECT p.1 AS loop, p.2 AS suite, p.3 AS until, p.4 AS grace FROM (SELECT arrayJoin(arrayZip(
    {of_loop:Array(String)}, {of_suite:Array(String)}, {untils:Array(Int64)}, {graces:Array(Int64)})) AS p)) AS p`;
  const arrived = 'toUnixTimestamp64Milli(t.arrived_at)';
  const scores = `${db}.eval_scores AS t INNER JOIN ${places} ON t.loop = p.loop AND t.suite = p.suite
    WHERE t.loop IN {loops:Array(String)} AND ${arrived} <= {now:Int64}`;
  const ends = `${db}.run_ends AS t INNER JOIN ${places} ON t.loop = p.loop
    WHERE t.loop IN {loops:Array(String)} AND ${arrived} + p.grace <= {now:Int64}`;
  const runs = (columns: string) => `SELECT ${columns} FROM (
    SELECT t.loop AS loop, t.run_id AS run_id FROM ${scores} AND ${arrived} > p.until
    UNION ALL
    SELECT t.loop AS loop, t.run_id AS run_id FROM ${ends} AND ${arrived} + p.grace > p.until)`;
  // All that there is of the runs that have something new: found by the tables' order where they are few.
  const touched = (columns: string) => (fromStart ? '' : `AND (${columns}) IN (${runs('loop, run_id')})`);
  return `
    SELECT f.loop, f.suite, f.run_id, f.event.2, f.event.1, f.upto, f.new_scores, f.new_ends, f.grace, f.score,
           toUnixTimestamp64Milli(r.started_at) AS started, r.run_id != '' AS is_known, r.checker_pass, r.effects,
           r.input_hash, r.output_hash
    FROM (
      SELECT *, arrayFilter(e -> e.1 > since AND e.1 <= {now:Int64}, multiIf(
               scores > 0 AND (ends = 0 OR score_at <= end_at), [(score_at, 'whole')],
               scores > 0, [(end_at, 'work'), (score_at, 'score')], [(end_at, 'work')])) AS events,
             arrayJoin(if(empty(events), [(since, 'nothing')], events)) AS event
      FROM (
        SELECT loop, suite, run_id, any(until) AS since, any(of_grace) AS grace,
               countIf(is_score) AS scores, minIf(at, is_score) AS score_at,
               countIf(NOT is_score) AS ends, minIf(at, NOT is_score) AS end_at,
               countIf(is_score AND at > until) AS new_scores, countIf(NOT is_score AND at > until) AS new_ends,
               argMinIf(tuple(value), scored, is_score).1 AS score, max(at) AS upto
        FROM (
          SELECT t.loop AS loop, p.suite AS suite, t.run_id AS run_id, p.until AS until, p.grace AS of_grace,
                 true AS is_score, ${arrived} AS at, t.score AS value, toUnixTimestamp64Milli(t.scored_at) AS scored
          FROM ${scores} ${touched('t.loop, t.run_id')}
          UNION ALL
          SELECT t.loop AS loop, p.suite AS suite, t.run_id AS run_id, p.until AS until, p.grace AS of_grace,
                 false AS is_score, ${arrived} + p.grace AS at, CAST(NULL AS Nullable(Float64)) AS value, 0 AS scored
          FROM ${ends} ${touched('t.loop, t.run_id')}
        )
        GROUP BY loop, suite, run_id
      )
      WHERE notEmpty(events) OR new_scores > 0 OR (grace = 0 AND new_ends > 0)
    ) AS f
    LEFT JOIN (
      SELECT loop, run_id, started_at, checker_pass, effects, input_hash, output_hash FROM ${db}.runs
      WHERE loop IN {loops:Array(String)} ${touched('loop, run_id')}
    ) AS r ON r.loop = f.loop AND r.run_id = f.run_id
    ORDER BY f.loop, f.suite, f.event.1, started, f.run_id`;
}

/** A suite's own scores of a loop's runs. */
export async function suiteScores(
  store: Store,
  { loop, suite }: SeriesName,
): Promise<Map<string, number | null>> {
  const rows = await store.query<{ run_id: string; score: number | null }>(
    `SELECT run_id, argMin(tuple(score), scored_at).1 AS score FROM ${store.database}.eval_scores
     WHERE loop = {loop:String} AND suite = {suite:String} GROUP BY run_id`,
    { loop, suite },
  );
  return new Map(rows.map((row) => [row.run_id, row.score]));
}
