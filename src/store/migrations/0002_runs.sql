-- Runs. Each inserted block of spans adds its share to `run_parts`; `runs` puts the shares together, a row a
-- run. Every aggregate is one that survives a run arriving in pieces, in any order, from several gateways.
-- The "maker's" columns come from the calls of the agent that does the work: what it was asked first, what it
-- answered last, which model really answered.

CREATE TABLE IF NOT EXISTS {{database}}.run_parts {{on_cluster}}
(
    `loop` LowCardinality(String),
    `run_id` String,
    `trace_id` SimpleAggregateFunction(max, String),
    `started_at` SimpleAggregateFunction(min, DateTime64(9)),
    `ended_at` SimpleAggregateFunction(max, DateTime64(9)),
    `closed` SimpleAggregateFunction(max, UInt8),
    `failed` SimpleAggregateFunction(max, UInt8),
    `registered` SimpleAggregateFunction(max, UInt8),
    `agents` SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    `models` SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    `served_models` SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    `calls` SimpleAggregateFunction(sum, UInt64),
    `errors` SimpleAggregateFunction(sum, UInt64),
    `effects` SimpleAggregateFunction(sum, UInt64),
    `effects_rejected` SimpleAggregateFunction(sum, UInt64),
    `input_tokens` SimpleAggregateFunction(sum, Nullable(UInt64)),
    `output_tokens` SimpleAggregateFunction(sum, Nullable(UInt64)),
    `cost_usd` SimpleAggregateFunction(sum, Nullable(Float64)),
    `calls_without_usage` SimpleAggregateFunction(sum, UInt64),
    `calls_without_cost` SimpleAggregateFunction(sum, UInt64),
    `verdicts` SimpleAggregateFunction(sum, UInt64),
    `verdict` AggregateFunction(argMaxIf, String, DateTime64(9), UInt8),
    `checker_name` AggregateFunction(argMaxIf, String, DateTime64(9), UInt8),
    `checker_version` AggregateFunction(argMaxIf, String, DateTime64(9), UInt8),
    `maker_model` AggregateFunction(argMaxIf, String, DateTime64(9), UInt8),
    `maker_served_model` AggregateFunction(argMaxIf, String, DateTime64(9), UInt8),
    `prompt_version` AggregateFunction(argMaxIf, String, DateTime64(9), UInt8),
    `tools_version` AggregateFunction(argMaxIf, String, DateTime64(9), UInt8),
    `item_id` AggregateFunction(argMinIf, String, DateTime64(9), UInt8),
    `input_hash` AggregateFunction(argMinIf, String, DateTime64(9), UInt8),
    `output_hash` AggregateFunction(argMaxIf, String, DateTime64(9), UInt8)
)
ENGINE = {{engine:AggregatingMergeTree}}
ORDER BY (loop, run_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.run_parts_mv {{on_cluster}}
TO {{database}}.run_parts
AS
WITH
    SpanAttributes AS a,
    AgentRole = 'maker' AND Record = 'call' AS is_maker,
    a['loopscope.verdict.pass'] != '' AS is_verdict
SELECT
    Loop AS loop,
    RunId AS run_id,
    max(TraceId) AS trace_id,
    min(Timestamp) AS started_at,
    max(addNanoseconds(Timestamp, Duration)) AS ended_at,
    max(toUInt8(Record = 'run')) AS closed,
    max(toUInt8(Record = 'run' AND (StatusCode = 'Error' OR a['loopscope.outcome'] = 'error'))) AS failed,
    max(toUInt8(a['loopscope.registered'] = 'true')) AS registered,
    groupUniqArrayIf(toString(Agent), Agent != '') AS agents,
    groupUniqArrayIf(toString(RequestModel), RequestModel != '') AS models,
    groupUniqArrayIf(toString(ResponseModel), ResponseModel != '') AS served_models,
    countIf(Record = 'call') AS calls,
    countIf(Record = 'call' AND StatusCode = 'Error') AS errors,
    countIf(Record = 'effect') AS effects,
    countIf(Record = 'effect' AND a['loopscope.effect.accepted'] = 'false') AS effects_rejected,
    sumIf(InputTokens, Record = 'call') AS input_tokens,
    sumIf(OutputTokens, Record = 'call') AS output_tokens,
    sumIf(CostUsd, Record = 'call') AS cost_usd,
    countIf(Record = 'call' AND OutputTokens IS NULL) AS calls_without_usage,
    countIf(Record = 'call' AND CostUsd IS NULL) AS calls_without_cost,
    countIf(is_verdict) AS verdicts,
    argMaxIfState(a['loopscope.verdict.pass'], Timestamp, toUInt8(is_verdict)) AS verdict,
    argMaxIfState(a['loopscope.checker.name'], Timestamp, toUInt8(is_verdict)) AS checker_name,
    argMaxIfState(a['loopscope.checker.version'], Timestamp, toUInt8(is_verdict)) AS checker_version,
    argMaxIfState(toString(RequestModel), Timestamp, toUInt8(is_maker AND RequestModel != '')) AS maker_model,
    argMaxIfState(toString(ResponseModel), Timestamp, toUInt8(is_maker AND ResponseModel != '')) AS maker_served_model,
    argMaxIfState(a['loopscope.prompt.version'], Timestamp, toUInt8(is_maker AND a['loopscope.prompt.version'] != '')) AS prompt_version,
    argMaxIfState(a['loopscope.tools.version'], Timestamp, toUInt8(is_maker AND a['loopscope.tools.version'] != '')) AS tools_version,
    argMinIfState(a['loopscope.item.id'], Timestamp, toUInt8(a['loopscope.item.id'] != '')) AS item_id,
    argMinIfState(a['loopscope.input.hash'], Timestamp, toUInt8(is_maker AND a['loopscope.input.hash'] != '')) AS input_hash,
    argMaxIfState(a['loopscope.output.text.hash'], Timestamp, toUInt8(is_maker AND a['loopscope.output.text.hash'] != '')) AS output_hash
FROM {{database}}.otel_traces
WHERE Loop != '' AND RunId != ''
GROUP BY Loop, RunId;

CREATE VIEW IF NOT EXISTS {{database}}.runs {{on_cluster}}
AS SELECT
    loop,
    run_id,
    max(p.trace_id) AS trace_id,
    min(p.started_at) AS started_at,
    max(p.ended_at) AS ended_at,
    multiIf(max(p.failed) = 1, 'failed', max(p.closed) = 1, 'ended', 'running') AS state,
    max(p.registered) AS registered,
    groupUniqArrayArray(p.agents) AS agents,
    groupUniqArrayArray(p.models) AS models,
    groupUniqArrayArray(p.served_models) AS served_models,
    sum(p.calls) AS calls,
    sum(p.errors) AS errors,
    sum(p.effects) AS effects,
    sum(p.effects_rejected) AS effects_rejected,
    sum(p.input_tokens) AS input_tokens,
    sum(p.output_tokens) AS output_tokens,
    sum(p.cost_usd) AS cost_usd,
    sum(p.calls_without_usage) AS calls_without_usage,
    sum(p.calls_without_cost) AS calls_without_cost,
    if(sum(p.verdicts) = 0, NULL, toUInt8(argMaxIfMerge(p.verdict) = 'true')) AS checker_pass,
    argMaxIfMerge(p.checker_name) AS checker_name,
    argMaxIfMerge(p.checker_version) AS checker_version,
    argMaxIfMerge(p.maker_model) AS maker_model,
    argMaxIfMerge(p.maker_served_model) AS maker_served_model,
    argMaxIfMerge(p.prompt_version) AS prompt_version,
    argMaxIfMerge(p.tools_version) AS tools_version,
    argMinIfMerge(p.item_id) AS item_id,
    argMinIfMerge(p.input_hash) AS input_hash,
    argMaxIfMerge(p.output_hash) AS output_hash
FROM {{database}}.run_parts AS p
GROUP BY loop, run_id;
