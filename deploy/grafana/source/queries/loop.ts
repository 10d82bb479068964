import { changesOf, scoresOver } from './fleet.ts';
import { chosen, scoredRuns } from './words.ts';

/** One loop: since when, what changed, what it costs, and its runs. */

const LOOP = `loop = ${chosen('loop')}`;

export const state = `
SELECT state AS "State", nullIf(what_changed, '') AS "What changed", since AS "Since", nullIf(owner, '') AS "Owner"
FROM loopscope.loop_states
WHERE ${LOOP}`;

export const totals = `
SELECT
  count() AS "Runs",
  avg(checker_pass) AS "Checker passes",
  avg(golden_score) AS "Golden score",
  sum(effects) / count() AS "Effects/run",
  sum(cost_usd) AS "Spend",
  if(countIf(useful) = 0, NULL, sum(cost_usd) / countIf(useful)) AS "Per outcome"
FROM ${scoredRuns(`${LOOP} AND $__timeFilter_ms(started_at)`)}`;

export const scores = scoresOver(LOOP);

/** 1 is what an alarm takes. */
export const evidence = `
SELECT $__timeInterval(at) AS time, toString(stream) AS suite, greatest(max(e_value / threshold), 1e-7) AS evidence
FROM loopscope.detector_history
WHERE ${LOOP} AND is_scored AND $__timeFilter_ms(at)
GROUP BY time, suite
ORDER BY time, suite`;

export const servedModels = `
SELECT $__timeInterval(minute) AS time, if(served_model = '', 'no answer', toString(served_model)) AS model, sum(c.calls) AS calls
FROM loopscope.calls_by_minute AS c
WHERE ${LOOP} AND $__timeFilter(minute) AND origin = 'run' AND agent_role = 'maker'
GROUP BY time, model
ORDER BY time, model`;

export const agents = `
SELECT agent AS "Agent", agent_role AS "Role", parent_agent AS "Under",
  arrayStringConcat(arraySort(groupUniqArray(toString(served_model))), ', ') AS "Answered by",
  sum(c.calls) AS "Calls", sum(c.errors) AS "Errors",
  sum(c.input_tokens) AS "Tokens in", sum(c.output_tokens) AS "Tokens out", sum(c.cost_usd) AS "Spend",
  ifNotFinite(quantileTDigestMerge(0.95)(c.duration), NULL) AS "p95"
FROM loopscope.calls_by_minute AS c
WHERE ${LOOP} AND $__timeFilter(minute) AND origin = 'run'
GROUP BY agent, agent_role, parent_agent
ORDER BY "Spend" DESC, agent`;

export const spend = `
SELECT $__timeInterval(minute) AS time, toString(agent) AS agent, sum(cost_usd) AS spend
FROM loopscope.calls_by_minute
WHERE ${LOOP} AND $__timeFilter(minute) AND origin = 'run'
GROUP BY time, agent
ORDER BY time, agent`;

export const effects = `
SELECT $__timeInterval(minute) AS time,
  sum(o.effects) - sum(o.effects_rejected) AS "Effects", sum(o.effects_rejected) AS "Turned down"
FROM loopscope.outcomes_by_minute AS o
WHERE ${LOOP} AND $__timeFilter(minute)
GROUP BY time
ORDER BY time`;

export const changes = changesOf(LOOP);

export const alerts = `
SELECT started_at AS "Raised", state AS "State", kind AS "Kind", change_at AS "Began", change_at_run AS "Run no.",
  what_changed AS "What changed",
  JSONExtract(evidence, 'golden', 'before', 'Nullable(Float64)') AS "Golden before",
  JSONExtract(evidence, 'golden', 'after', 'Nullable(Float64)') AS "after",
  JSONExtract(evidence, 'e_value', 'Nullable(Float64)') AS "e-value",
  JSONExtractString(evidence, 'look_at', 1) AS "Look at run"
FROM loopscope.alerts_now
WHERE ${LOOP}
ORDER BY started_at DESC
LIMIT 50`;

export const runs = `
SELECT started_at AS "Started", run_id AS "Run", state AS "State",
  multiIf(checker_pass IS NULL, '', checker_pass = 1, 'pass', 'fail') AS "Verdict",
  golden_score AS "Golden score", effects AS "Effects", cost_usd AS "Cost",
  input_tokens AS "Tokens in", output_tokens AS "Tokens out",
  dateDiff('millisecond', started_at, ended_at) AS "Took",
  arrayStringConcat(arraySort(served_models), ', ') AS "Answered by"
FROM ${scoredRuns(`${LOOP} AND $__timeFilter_ms(started_at)`)}
ORDER BY started_at DESC
LIMIT 200`;

/** Annotations: what a drop may come from. */
export const alertAnnotations = `
SELECT change_at AS time, concat(kind, if(state = 'firing', '', ' (over)')) AS title, what_changed AS text, 'alert' AS tags
FROM loopscope.alerts_now
WHERE ${LOOP} AND $__timeFilter_ms(change_at)
ORDER BY time`;

export const modelAnnotations = `
SELECT at AS time, replaceAll(kind, '_', ' ') AS title,
  multiIf(
    retires_at IS NOT NULL, concat(model, ' retires on ', toString(retires_at)),
    previous_model != '', concat(requested_model, ': ', previous_model, ' → ', served_model),
    requested_model) AS text,
  kind AS tags
FROM (SELECT * FROM loopscope.model_events ORDER BY at LIMIT 1 BY event_id)
WHERE ${LOOP} AND $__timeFilter_ms(at)
ORDER BY time`;

/** New versions of prompt, tools and registration; the first of a kind is none. */
export const versionAnnotations = `
SELECT time, title, text, 'version' AS tags
FROM (
  SELECT first_at AS time, concat('new ', kind) AS title, version AS text,
    row_number() OVER (PARTITION BY kind ORDER BY first_at) AS place
  FROM (
    SELECT kind, version, min(at) AS first_at
    FROM (
      SELECT toDateTime64(started_at, 3) AS at, made.1 AS kind, made.2 AS version
      FROM (SELECT started_at, [('prompt', prompt_version), ('tools', tools_version)] AS versions FROM loopscope.runs WHERE ${LOOP})
      ARRAY JOIN versions AS made
      WHERE version != ''
      UNION ALL
      SELECT seen_at AS at, 'registration' AS kind, version FROM loopscope.registry_versions WHERE ${LOOP}
    )
    GROUP BY kind, version
  )
)
WHERE place > 1 AND $__timeFilter_ms(time)
ORDER BY time`;
