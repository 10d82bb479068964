import { among, byTime, STEP, scoredRuns } from './words.ts';

/** What is spent, on what, and what came of it. Costs that nobody knows are not in the sums; calls without one are counted. */

const SPENT = `${byTime('calls', `origin = 'run' AND ${among('loop')} AND ${among('agent')} AND ${among('model', 'served_model')}`)} AS c`;

/** Of whole runs: an outcome is no agent's alone. */
const RUNS = scoredRuns(`$__timeFilter_ms(started_at) AND ${among('loop')}`);

export const totals = `
SELECT
  sum(cost_usd) AS "Spend",
  if(countIf(useful) = 0, NULL, sum(cost_usd) / countIf(useful)) AS "Per outcome",
  countIf(useful) AS "Useful outcomes",
  sumIf(cost_usd, NOT useful) AS "Dead weight",
  if(sum(cost_usd) = 0, NULL, sumIf(cost_usd, NOT useful) / sum(cost_usd)) AS "of all spend",
  sum(greatest(toInt64(calls_without_cost) - toInt64(errors), 0)) AS "Calls of unknown cost"
FROM ${RUNS}`;

const over = (column: string, label: string) => `
SELECT ${STEP} AS time, if(toString(${column}) = '', 'unknown', toString(${column})) AS ${label}, sum(c.cost_usd) AS spend
FROM ${SPENT}
WHERE ${column} GLOBAL IN (
    SELECT ${column} FROM ${SPENT} GROUP BY ${column} ORDER BY sum(c.cost_usd) DESC LIMIT 12)
GROUP BY time, ${label}
ORDER BY time, ${label}`;

export const byLoop = over('loop', 'loop');

export const byModel = over('served_model', 'model');

export const byAgent = `
SELECT loop AS "Loop", agent AS "Agent", agent_role AS "Role",
  sum(c.cost_usd) AS "Spend",
  sum(c.cost_usd) / nullIf(sum(sum(c.cost_usd)) OVER (), 0) AS "of all",
  sum(c.calls) AS "Calls",
  sum(c.input_tokens) AS "Tokens in", sum(c.output_tokens) AS "Tokens out",
  sum(c.calls_without_cost) AS "Calls of unknown cost"
FROM ${SPENT}
GROUP BY loop, agent, agent_role
ORDER BY "Spend" DESC
LIMIT 100`;

export const models = `
SELECT served_model AS "Model", provider AS "Provider",
  sum(c.cost_usd) AS "Spend", sum(c.calls) AS "Calls",
  sum(c.cost_usd) / nullIf(sum(c.calls), 0) AS "A call",
  sum(c.cost_usd) * 1e6 / nullIf(sum(c.input_tokens) + sum(c.output_tokens), 0) AS "A million tokens",
  sum(c.input_tokens) AS "Tokens in", sum(c.output_tokens) AS "Tokens out",
  uniq(loop) AS "Loops"
FROM ${SPENT}
GROUP BY served_model, provider
ORDER BY "Spend" DESC
LIMIT 100`;

/** Dead weight: what was spent in runs from which nothing useful came. */
export const deadWeight = `
SELECT loop AS "Loop",
  count() AS "Runs",
  countIf(useful) AS "Useful",
  sum(cost_usd) AS "Spend",
  sumIf(cost_usd, NOT useful) AS "Dead weight",
  if(sum(cost_usd) = 0, NULL, sumIf(cost_usd, NOT useful) / sum(cost_usd)) AS "of its spend",
  if(countIf(useful) = 0, NULL, sum(cost_usd) / countIf(useful)) AS "Per outcome",
  argMaxIf(run_id, cost_usd, NOT useful) AS "Dearest useless run"
FROM ${RUNS}
GROUP BY loop
ORDER BY "Dead weight" DESC
LIMIT 100`;

/** Of the loops that spend most. */
export const outcomeCost = `
SELECT $__timeInterval(started_at) AS time, toString(loop) AS loop,
  if(countIf(useful) = 0, NULL, sum(cost_usd) / countIf(useful)) AS cost
FROM ${scoredRuns(`$__timeFilter_ms(started_at) AND loop GLOBAL IN (
    SELECT loop FROM ${SPENT} GROUP BY loop ORDER BY sum(c.cost_usd) DESC LIMIT 12)`)}
GROUP BY time, loop
ORDER BY time, loop`;

/** Beside what loops spend: what it costs to watch them. */
export const watching = `
SELECT what AS "On what", sum(n) AS "How many", sum(spent) AS "Spend"
FROM (
  SELECT 'probes' AS what, sum(c.calls) AS n, sum(c.cost_usd) AS spent
  FROM ${byTime('calls', `origin = 'probe' AND ${among('loop')}`)} AS c
  UNION ALL
  SELECT 'replays' AS what, sum(c.calls) AS n, sum(c.cost_usd) AS spent
  FROM ${byTime('calls', `origin = 'replay' AND ${among('loop')}`)} AS c
  UNION ALL
  SELECT 'judges' AS what, count(cost_usd) AS n, sum(cost_usd) AS spent
  FROM loopscope.eval_scores
  WHERE $__timeFilter_ms(arrived_at) AND ${among('loop')}
)
GROUP BY what
ORDER BY what`;
