import { A, REPLAY_RECORD_PREFIX } from '../span/attributes.ts';
import type { Store } from './client.ts';

/** A stored span, as far as a trace's tree needs it. `''` where there is nothing, `null` where nobody said. */
export interface TraceSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  service: string;
  /** Milliseconds since the epoch, with fractions. */
  startMs: number;
  durationMs: number;
  status: 'Unset' | 'Ok' | 'Error';
  statusMessage: string;
  errorType: string;
  record: string;
  loop: string;
  runId: string;
  agent: string;
  role: string;
  parentAgent: string;
  requestModel: string;
  servedModel: string;
  inputTokens: number | null;
  outputTokens: number | null;
  costUsd: number | null;
  /** `true` | `false` | `''` */
  verdict: string;
  checker: string;
  effectAccepted: string;
}

/** Most spans of a trace that are read. */
export const TRACE_SPANS_MAX = 20_000;

/** The loops that have a run of this id. */
export async function loopsWithRun(store: Store, runId: string): Promise<string[]> {
  const rows = await store.query<{ loop: string }>(
    `SELECT DISTINCT loop FROM ${store.database}.run_parts WHERE run_id = {runId:String} ORDER BY loop`,
    { runId },
  );
  return rows.map((row) => row.loop);
}

/** The traces that the spans of a run are in: one, unless its callers brought several of their own. */
export async function tracesOfRun(store: Store, loop: string, runId: string): Promise<string[]> {
  const rows = await store.query<{ traceId: string }>(
    `SELECT TraceId AS traceId FROM ${store.database}.otel_traces
     WHERE RunId = {runId:String} AND Loop = {loop:String} GROUP BY TraceId ORDER BY min(Timestamp)`,
    { loop, runId },
  );
  return rows.map((row) => row.traceId);
}

/** The spans of traces in the order they began, at most `TRACE_SPANS_MAX`; a replay's as those of a run of its own. */
export function spansOfTraces(store: Store, traceIds: readonly string[]): Promise<TraceSpan[]> {
  return store.query<TraceSpan>(
    `SELECT TraceId AS traceId, SpanId AS spanId, ParentSpanId AS parentSpanId, SpanName AS name,
       ServiceName AS service, toUnixTimestamp64Nano(Timestamp) / 1e6 AS startMs, Duration / 1e6 AS durationMs,
       StatusCode AS status, StatusMessage AS statusMessage, ErrorType AS errorType,
       replaceRegexpOne(Record, '^${REPLAY_RECORD_PREFIX.replace('.', '[.]')}', '') AS record,
       Loop AS loop, if(RunId = '', SpanAttributes['${A.replayRunId}'], RunId) AS runId, Agent AS agent, AgentRole AS role, ParentAgent AS parentAgent,
       RequestModel AS requestModel, ResponseModel AS servedModel,
       InputTokens AS inputTokens, OutputTokens AS outputTokens, CostUsd AS costUsd,
       SpanAttributes['loopscope.verdict.pass'] AS verdict, SpanAttributes['loopscope.checker.name'] AS checker,
       SpanAttributes['loopscope.effect.accepted'] AS effectAccepted
     FROM ${store.database}.otel_traces
     WHERE TraceId IN {traceIds:Array(String)}
     ORDER BY Timestamp, SpanId LIMIT {limit:UInt32}`,
    { traceIds, limit: TRACE_SPANS_MAX },
  );
}
