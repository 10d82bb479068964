import { A } from '../span/attributes.ts';
import type { Store } from './client.ts';
import { goldenScores } from './runs.ts';

/**
 * What recordings are put together from: what is known of a run as a whole, the spans of its traces, and the content that
 * these refer to. Three reads that find their rows by an index, however many other runs are stored.
 */

/** A run as a whole. `null` is "nobody said"; times are milliseconds since the epoch. */
export interface RecordedRun {
  startedAt: number;
  endedAt: number;
  state: 'running' | 'ended' | 'failed';
  checkerPass: boolean | null;
  checkerName: string;
  checkerVersion: string;
  model: string;
  servedModel: string;
  promptVersion: string;
  toolsVersion: string;
  itemId: string;
  inputTokens: number | null;
  outputTokens: number | null;
  costUsd: number | null;
  goldenScore: number | null;
  /** The traces that its spans are in: one, unless its callers brought several of their own. */
  traceIds: string[];
}

/** The run of `loop`; `undefined` where there is no such run. */
export async function recordedRun(
  store: Store,
  run: { loop: string; runId: string },
): Promise<RecordedRun | undefined> {
  const db = store.database;
  const [[facts], [score], traces] = await Promise.all([
    store.query<Facts>(
      `SELECT toUnixTimestamp64Micro(r.started_at) / 1e3 AS startedAt, toUnixTimestamp64Micro(r.ended_at) / 1e3 AS endedAt,
              r.state AS state, r.trace_id AS traceId, r.checker_pass AS checkerPass, r.checker_name AS checkerName,
              r.checker_version AS checkerVersion, r.maker_model AS model, r.maker_served_model AS servedModel,
              r.prompt_version AS promptVersion, r.tools_version AS toolsVersion, r.item_id AS itemId,
              r.input_tokens AS inputTokens, r.output_tokens AS outputTokens, r.cost_usd AS costUsd
       FROM ${db}.runs AS r WHERE r.loop = {loop:String} AND r.run_id = {runId:String}`,
      run,
    ),
    store.query<{ score: number }>(
      `SELECT golden_score AS score FROM (${goldenScores(db)}) WHERE loop = {loop:String} AND run_id = {runId:String}`,
      run,
    ),
    // Within the run's time: of the days before and after it not even the index is read.
    store.query<{ traceId: string }>(
      `SELECT DISTINCT TraceId AS traceId FROM ${db}.otel_traces
       WHERE RunId = {runId:String} AND Loop = {loop:String}
         AND Timestamp >= (SELECT min(started_at) FROM ${db}.run_parts WHERE loop = {loop:String} AND run_id = {runId:String})
         AND Timestamp <= (SELECT max(ended_at) FROM ${db}.run_parts WHERE loop = {loop:String} AND run_id = {runId:String})
       LIMIT {limit:UInt32}`,
      { ...run, limit: TRACES_MAX },
    ),
  ]);
  if (!facts) return undefined;
  const { traceId, checkerPass, ...known } = facts;
  return {
    ...known,
    goldenScore: score?.score ?? null,
    checkerPass: checkerPass === null ? null : checkerPass === 1,
    traceIds: [...new Set([traceId, ...traces.map((trace) => trace.traceId)])],
  };
}

interface Facts extends Omit<RecordedRun, 'checkerPass' | 'traceIds' | 'goldenScore'> {
  checkerPass: number | null;
  traceId: string;
}

/** Traces of one run that are read. */
const TRACES_MAX = 1_000;

/** A stored span, as far as a recording needs it. `''` where there is nothing, `null` where nobody said. */
export interface RecordedSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  /** What made it; ours begin with `loopscope.`. */
  scope: string;
  /** Microseconds since the epoch, and what it took in milliseconds. */
  startUs: number;
  durationMs: number;
  failed: boolean;
  errorType: string;
  loop: string;
  runId: string;
  record: string;
  operation: string;
  agent: string;
  role: string;
  parentAgent: string;
  provider: string;
  model: string;
  servedModel: string;
  inputTokens: number | null;
  outputTokens: number | null;
  costUsd: number | null;
  /** Of `ATTRIBUTES`, those that it has. */
  attributes: Partial<Record<RecordedAttribute, string>>;
  /** `gen_ai.request.*` and `loopscope.request.*`, by what comes behind. */
  parameters: Record<string, string>;
  /** Content that has no place of its own: JSON lists of hashes, by the name under which it was sent. */
  contents: Record<string, string>;
  /** Names of content that its sender kept to itself. */
  withheld: string[];
}

const ATTRIBUTES = [
  A.api,
  A.missing,
  A.requestStream,
  A.promptVersion,
  A.toolsVersion,
  A.finishReasons,
  A.timeToFirstChunk,
  A.streamPieces,
  A.toolName,
  A.toolCallId,
  A.inputMessageHashes,
  A.outputMessageHashes,
  A.inputTextHash,
  A.outputTextHash,
  A.verdictPass,
  A.checkerName,
  A.checkerVersion,
  A.effect,
  A.effectAccepted,
  A.outcome,
  A.goldenScore,
  A.itemId,
  A.replayOf,
  A.replayRunId,
] as const;
export type RecordedAttribute = (typeof ATTRIBUTES)[number];

/** Most spans of a run that are read. */
export const RECORDING_SPANS_MAX = 20_000;

/** What senders leave in the place of content that they do not tell; everything else has become a hash. */
const WITHHELD = [A.inputMessages, A.outputMessages, A.toolArguments, A.toolResult];

/** The spans of traces in the order they began, each once; at most `RECORDING_SPANS_MAX`, and whether there are more. */
export async function recordedSpans(
  store: Store,
  traceIds: readonly string[],
): Promise<{ spans: RecordedSpan[]; cut: boolean }> {
  const times = `${store.database}.otel_traces_trace_id_ts WHERE TraceId IN {traceIds:Array(String)}`;
  const attribute = (name: string) => `SpanAttributes['${name}']`;
  const rows = store.stream<Row>(
    `SELECT TraceId, SpanId, ParentSpanId, SpanName, ScopeName, toUnixTimestamp64Micro(Timestamp), Duration / 1e6,
            StatusCode = 'Error', ErrorType, Loop, RunId, Record, Operation, Agent, AgentRole, ParentAgent,
            Provider, RequestModel, ResponseModel, InputTokens, OutputTokens, CostUsd,
            [${ATTRIBUTES.map(attribute).join(', ')}],
            mapFilter((k, v) -> startsWith(k, 'gen_ai.request.') OR startsWith(k, 'loopscope.request.'), SpanAttributes),
            mapFilter((k, v) -> startsWith(k, '${A.contentHashes}.'), SpanAttributes),
            arrayFilter(k -> k != '', [${WITHHELD.map((name) => `if(${attribute(name)} != '', '${name}', '')`).join(', ')}])
     FROM ${store.database}.otel_traces
     WHERE TraceId IN {traceIds:Array(String)}
       AND Timestamp >= (SELECT min(Start) FROM ${times}) AND Timestamp < (SELECT max(End) + 1 FROM ${times})
     ORDER BY Timestamp, SpanId LIMIT {limit:UInt32}`,
    { traceIds, limit: RECORDING_SPANS_MAX + 1 },
  );
  const spans = new Map<string, RecordedSpan>();
  let read = 0;
  for await (const piece of rows)
    for (const row of piece) {
      const key = `${row[0]}${row[1]}`;
      if (++read <= RECORDING_SPANS_MAX && !spans.has(key)) spans.set(key, spanOf(row));
    }
  return { spans: [...spans.values()], cut: read > RECORDING_SPANS_MAX };
}

type Row = [
  traceId: string,
  spanId: string,
  parentSpanId: string,
  name: string,
  scope: string,
  startUs: number,
  durationMs: number,
  failed: number,
  errorType: string,
  loop: string,
  runId: string,
  record: string,
  operation: string,
  agent: string,
  role: string,
  parentAgent: string,
  provider: string,
  model: string,
  servedModel: string,
  inputTokens: number | null,
  outputTokens: number | null,
  costUsd: number | null,
  attributes: string[],
  parameters: Record<string, string>,
  contents: Record<string, string>,
  withheld: string[],
];

function spanOf(row: Row): RecordedSpan {
  const attributes: RecordedSpan['attributes'] = {};
  row[22].forEach((value, i) => {
    if (value !== '') attributes[ATTRIBUTES[i]!] = value;
  });
  return {
    traceId: row[0],
    spanId: row[1],
    parentSpanId: row[2],
    name: row[3],
    scope: row[4],
    startUs: row[5],
    durationMs: row[6],
    failed: row[7] === 1,
    errorType: row[8],
    loop: row[9],
    runId: row[10],
    record: row[11],
    operation: row[12],
    agent: row[13],
    role: row[14],
    parentAgent: row[15],
    provider: row[16],
    model: row[17],
    servedModel: row[18],
    inputTokens: row[19],
    outputTokens: row[20],
    costUsd: row[21],
    attributes,
    parameters: row[23],
    contents: row[24],
    withheld: row[25],
  };
}

/** A piece of content. */
export interface StoredContent {
  role: string;
  content: string;
}

/** Hashes that are asked for at once. */
const HASHES_PER_QUERY = 10_000;

/** Contents by hash; what is not kept is not in the map. */
export async function contentsByHash(
  store: Store,
  hashes: Iterable<string>,
): Promise<Map<string, StoredContent>> {
  const wanted = [...new Set(hashes)];
  const contents = new Map<string, StoredContent>();
  for (let i = 0; i < wanted.length; i += HASHES_PER_QUERY) {
    const rows = store.stream<[hash: string, role: string, content: string]>(
      `SELECT hash, role, content FROM ${store.database}.messages WHERE hash IN {hashes:Array(String)} LIMIT 1 BY hash`,
      { hashes: wanted.slice(i, i + HASHES_PER_QUERY) },
    );
    for await (const piece of rows)
      for (const [hash, role, content] of piece) contents.set(hash, { role, content });
  }
  return contents;
}
