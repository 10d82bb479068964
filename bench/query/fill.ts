import type { Store } from '../../src/store/client.ts';

/**
 * A fleet's month, made by ClickHouse itself: runs of a hundred spans, inserted a day at a time as they would have come.
 * Nothing is random but by hash, so that two fills have the same rows.
 *
 * Few loops run often: of two hundred, the busiest ten do a fifth of the runs. The hundred spans of a run are the run,
 * three agents, sixty model calls, ten attempts of calls that were tried again, twenty-three tool calls, a verdict and two effects.
 */
export const SPANS_PER_RUN = 100;
export const DAYS = 30;
const DAY_MS = 86_400_000;

export interface Fill {
  loops: number;
  /** Runs are numbered; these are inserted, over the whole month. */
  from: number;
  to: number;
  /** Where the month ends, milliseconds since the epoch. */
  nowMs: number;
}

/** Which loop a run is of: a name that SQL works out of `r`. */
const LOOP = `concat('loop-', leftPad(toString(toUInt32(floor({loops:UInt32} * pow((sipHash64('loop', r) % 1000000) / 1e6, 1.8)))), 3, '0'))`;
const RUN_ID = `concat('run-', leftPad(toString(r), 8, '0'))`;
export const BUSIEST_LOOP = 'loop-000';

const SPANS = `
  WITH
    {start:DateTime64(9, 'UTC')} AS day_starts,
    ${LOOP} AS loop,
    toUInt32(substring(loop, 6)) AS l,
    addMilliseconds(day_starts, toInt64((r - {from:UInt64}) * ${DAY_MS}. / {count:UInt64})) AS started,
    lower(hex(sipHash128('trace', r))) AS trace_id,
    multiIf(k = 0, 'run', k < 4, 'agent', k < 64, 'call', k < 74, 'attempt', k < 97, 'tool', k = 97, 'verdict', 'effect') AS record,
    sipHash64(r, k) AS h,
    -- 0 is the maker, 1 its checker, 2 a sub-agent.
    multiIf(k IN (1, 2, 3), k - 1, record IN ('call', 'tool'), multiIf(k % 10 = 9, 1, k % 10 > 6, 2, 0), 0) AS a,
    ['maker', 'reviewer', 'researcher'][a + 1] AS agent,
    (l + a) % 5 + 1 AS m,
    ['gpt-4.1', 'gpt-4.1-mini', 'claude-sonnet-4-5', 'claude-haiku-4-5', 'gemini-2.5-pro'][m] AS model,
    ['openai', 'openai', 'anthropic', 'anthropic', 'gcp.gemini'][m] AS provider,
    ['read_file', 'search', 'run_tests', 'open_pr'][h % 4 + 1] AS tool,
    record = 'call' AND h % 100 = 0 AS is_error,
    record = 'call' AND NOT is_error AS is_answered,
    record = 'attempt' AND k % 2 = 0 AS is_retried,
    300 + exp((h % 1000) / 130.) AS duration_ms,
    record IN ('call', 'tool', 'agent') AS has_agent
  SELECT
    addMilliseconds(started, if(record IN ('run', 'agent'), 0, k * 6000)) AS Timestamp,
    trace_id AS TraceId,
    lower(hex(sipHash64('span', r, k))) AS SpanId,
    if(k = 0, '', lower(hex(sipHash64('span', r, multiIf(record IN ('call', 'tool'), a + 1, record = 'attempt', k - 60, 0))))) AS ParentSpanId,
    multiIf(record = 'run', concat('invoke_workflow ', loop), record = 'agent', concat('invoke_agent ', agent),
      record = 'call', concat('chat ', model), record = 'attempt', concat('attempt ', provider),
      record = 'tool', concat('execute_tool ', tool), record = 'verdict', 'verdict reviewer', 'effect pr_opened') AS SpanName,
    if(record IN ('call', 'attempt'), 'Client', 'Internal') AS SpanKind,
    'loopscope' AS ServiceName,
    map('service.name', 'loopscope', 'service.instance.id', 'gateway-1') AS ResourceAttributes,
    'loopscope.gateway' AS ScopeName,
    mapFilter((name, value) -> value != '', map(
      'loopscope.loop', loop,
      'loopscope.run.id', ${RUN_ID},
      'loopscope.registered', 'true',
      'loopscope.record', if(record = 'tool', '', record),
      'gen_ai.operation.name', multiIf(record = 'run', 'invoke_workflow', record = 'agent', 'invoke_agent', record = 'call', 'chat',
        record = 'tool', 'execute_tool', ''),
      'gen_ai.agent.name', if(has_agent, agent, ''),
      'loopscope.agent.role', if(has_agent, ['maker', 'checker', 'sub'][a + 1], ''),
      'loopscope.agent.parent', if(has_agent AND a = 2, 'maker', ''),
      'gen_ai.tool.name', if(record = 'tool', tool, ''),
      'gen_ai.provider.name', if(record = 'call', provider, ''),
      'gen_ai.request.model', if(record = 'call', model, ''),
      -- Half-way through the month another model answers one loop in twenty.
      'gen_ai.response.model', if(is_answered, concat(model, if(l % 20 = 0 AND {day:UInt32} >= ${DAYS / 2}, '-2026-06-01', '-2025-04-14')), ''),
      'gen_ai.response.id', if(is_answered, lower(hex(h)), ''),
      'gen_ai.usage.input_tokens', if(is_answered, toString(500 + h % 8000), ''),
      'gen_ai.usage.output_tokens', if(is_answered, toString(20 + h % 900), ''),
      'gen_ai.response.time_to_first_chunk', if(is_answered, toString(duration_ms / 4000), ''),
      'loopscope.cost_usd', if(is_answered, toString(round((500 + h % 8000) * 2e-6, 6)), ''),
      'loopscope.prompt.version', if(record = 'call', lower(hex(sipHash64(l, intDiv({day:UInt32}, 10)))), ''),
      'loopscope.input.hash', if(record = 'call', lower(hex(sipHash128(r, k % 7))), ''),
      'loopscope.output.text.hash', if(is_answered, lower(hex(sipHash128(h))), ''),
      'loopscope.input.messages.hashes', if(record = 'call', concat('["', lower(hex(sipHash128(h, 1))), '"]'), ''),
      'server.address', if(record IN ('call', 'attempt'), concat('api.', provider, '.example'), ''),
      'http.response.status_code', multiIf(is_retried, '529', is_error, '503', record IN ('call', 'attempt'), '200', ''),
      'loopscope.attempt.number', if(record = 'attempt', toString(1 + k % 2), ''),
      'loopscope.attempt.target', if(record = 'attempt', provider, ''),
      'loopscope.attempt.outcome', multiIf(is_retried, 'retried', record = 'attempt', 'answered', ''),
      'error.type', multiIf(is_error, 'overloaded_error', is_retried, 'http_529', ''),
      'loopscope.verdict.pass', if(record = 'verdict', if(h % 100 < 93, 'true', 'false'), ''),
      'loopscope.checker.name', if(record = 'verdict', 'reviewer', ''),
      'loopscope.checker.version', if(record = 'verdict', 'v1', ''),
      'loopscope.effect.name', if(record = 'effect', 'pr_opened', ''),
      'loopscope.effect.accepted', if(record = 'effect', if(h % 10 = 0, 'false', 'true'), ''),
      'loopscope.outcome', if(record = 'run', if(h % 50 = 0, 'error', 'ok'), ''))) AS SpanAttributes,
    toUInt64(multiIf(record = 'run', 600000, record = 'agent', 550000, record IN ('verdict', 'effect'), 0, duration_ms) * 1e6) AS Duration,
    if(is_error OR is_retried, 'Error', 'Unset') AS StatusCode
  FROM (SELECT number + {from:UInt64} AS r, arrayJoin(range(${SPANS_PER_RUN})) AS k FROM numbers({count:UInt64}))`;

/** A golden score of each run; those of the loops whose model changed fall with it. */
const SCORES = `
  SELECT ${LOOP} AS loop, concat(loop, '-golden') AS suite, ${RUN_ID} AS run_id, concat('item-', toString(r % 50)) AS item_id,
    loop AS dataset, 'v1' AS dataset_version, 'exact' AS scorer,
    if(r % 100 = 0, NULL, toFloat64(sipHash64('score', r) % 100 < if(toUInt32(substring(loop, 6)) % 20 = 0 AND {day:UInt32} >= ${DAYS / 2}, 40, 90))) AS score,
    if(score IS NULL, 'scorer_failed', '') AS error,
    addMilliseconds({start:DateTime64(3, 'UTC')}, toInt64((r - {from:UInt64}) * ${DAY_MS}. / {count:UInt64}) + 900000) AS scored_at,
    scored_at AS arrived_at
  FROM (SELECT number + {from:UInt64} AS r FROM numbers({count:UInt64}))`;

/** Inserts runs and their scores, day by day. */
export async function fillRuns(store: Store, { loops, from, to, nowMs }: Fill): Promise<void> {
  const { database: db } = store;
  for (let day = 0; day < DAYS; day++) {
    const first = from + Math.floor(((to - from) * day) / DAYS);
    const count = from + Math.floor(((to - from) * (day + 1)) / DAYS) - first;
    if (count === 0) continue;
    const start = new Date(nowMs - (DAYS - day) * DAY_MS).toISOString().replace('Z', '');
    const params = { start, loops, from: first, count, day };
    await store.command(
      `INSERT INTO ${db}.otel_traces
         (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, ResourceAttributes, ScopeName,
          SpanAttributes, Duration, StatusCode) ${SPANS}`,
      params,
    );
    await store.command(
      `INSERT INTO ${db}.eval_scores
         (loop, suite, run_id, item_id, dataset, dataset_version, scorer, score, error, scored_at, arrived_at) ${SCORES}`,
      params,
    );
  }
}
