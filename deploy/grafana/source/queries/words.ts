/** Words that panels' queries share. Grafana fills in variables and the data source expands `$__…` macros. */

/** What is chosen of a variable, as strings of SQL. */
export const chosen = (variable: string): string => `\${${variable}:sqlstring}`;

/** Whether a column is among what is chosen of a variable; true where that is all. */
export const among = (variable: string, column = variable): string =>
  `$__conditionalAll(${column} IN (${chosen(variable)}), $${variable})`;

/**
 * Runs with their golden scores; `where` narrows the runs by what `run_parts` has too. NULL is "nobody said". The times of
 * the view are of a type that the data source does not know.
 *
 * A run began when the first of its parts did. So those that have a part that fits are found first, which is quick, and
 * of all others neither parts nor scores are put together.
 */
export const scoredRuns = (where: string): string => {
  const fitting = `run_hash GLOBAL IN (SELECT sipHash64(loop, run_id) FROM loopscope.run_parts WHERE ${where})`;
  return `(
  SELECT r.* REPLACE (toDateTime64(r.started_at, 9) AS started_at, toDateTime64(r.ended_at, 9) AS ended_at),
    g.golden_score AS golden_score,
    -- As \`status\` has it: the golden score decides, and where there is none an effect that was not turned down.
    if(g.golden_score IS NULL, r.effects > r.effects_rejected, g.golden_score >= 0.5) AS useful
  FROM (SELECT *, sipHash64(loop, run_id) AS run_hash FROM loopscope.runs WHERE ${where} AND ${fitting}) AS r
  LEFT JOIN (SELECT run_hash, golden_score FROM loopscope.golden_scores WHERE ${fitting}) AS g ON g.run_hash = r.run_hash
)`;
};

/** The lower or upper end of Wilson's 95 % interval for a mean of scores; NULL without scores. */
export function wilson(end: 'low' | 'high', mean: string, n: string): string {
  const z = 1.959963984540054;
  const half = `${z} * sqrt(${mean} * (1 - ${mean}) / ${n} + ${z * z} / (4 * ${n} * ${n}))`;
  const sign = end === 'low' ? '-' : '+';
  return `if(${n} = 0, NULL, least(greatest((${mean} + ${z * z} / (2 * ${n}) ${sign} ${half}) / (1 + ${z * z} / ${n}), 0), 1))`;
}

/** From this distance of two points on, panels read what is added up by the hour. */
const HOURLY_FROM_S = 1800;

/** Seconds between two points of a panel over `byTime`. */
export const STEP_S = `greatest($__interval_s, if($__interval_s >= ${HOURLY_FROM_S}, 3600, 60))`;

/** When a point over `byTime` is. */
export const STEP = `toStartOfInterval(minute, toIntervalSecond(${STEP_S}))`;

/** Rows of `calls` or `latency` in the chosen time, by minute or by hour; of the two tables the other one reads nothing. */
export const byTime = (table: 'calls' | 'latency', where: string): string => `(
  SELECT * FROM loopscope.${table}_by_minute
  WHERE $__interval_s < ${HOURLY_FROM_S} AND $__timeFilter(minute) AND ${where}
  UNION ALL
  SELECT hour AS minute, * EXCEPT hour FROM loopscope.${table}_by_hour
  WHERE $__interval_s >= ${HOURLY_FROM_S} AND $__timeFilter(hour) AND ${where}
)`;
