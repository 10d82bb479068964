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
  const [[facts], [score]] = await Promise.all([
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
  ]);
  if (!facts) return undefined;
  const { traceId, checkerPass, ...known } = facts;
  // Within the run's time: of the days before and after it not even the index is read.
  const traces = await store.query<{ traceId: string }>(
    `SELECT DISTINCT TraceId AS traceId FROM ${db}.otel_traces
     WHERE RunId = {runId:String} AND Loop = {loop:String}
       AND Timestamp >= toDateTime64(fromUnixTimestamp64Milli({from:Int64}), 9)
       AND Timestamp <= toDateTime64(fromUnixTimestamp64Milli({to:Int64}), 9)
     LIMIT {limit:UInt32}`,
    { ...run, from: Math.floor(facts.startedAt), to: Math.ceil(facts.endedAt), limit: TRACES_MAX },
  );
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

/** Hashes of a history: those of one before it that it goes on from, and what it adds. */
export interface HashList {
  before: HashList | undefined;
  added: readonly string[];
}

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
  /** What a call was asked with. */
  input: HashList | undefined;
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

/** Two hashes of a list: what an agent is told first, and what it is asked. Its conversations differ in them. */
const BEGINNING = 72;

/**
 * The spans of traces in the order they began, each once; at most `RECORDING_SPANS_MAX`, and whether there are more.
 *
 * A history is mostly the one before it in the same conversation and a little more. Only the little is sent: all of them
 * would be most of a long run's bytes.
 */
export async function recordedSpans(
  store: Store,
  traceIds: readonly string[],
): Promise<{ spans: RecordedSpan[]; cut: boolean }> {
  // In the type of Timestamp: against whole seconds the index loses a trace that lies within one of them.
  const times = `${store.database}.otel_traces_trace_id_ts WHERE TraceId IN {traceIds:Array(String)}`;
  const attribute = (name: string) => `SpanAttributes['${name}']`;
  const rows = store.stream<Row>(
    `WITH ${attribute(A.inputMessageHashes)} AS list, lagInFrame(list) OVER conversation AS previous,
          startsWith(list, concat(substring(previous, 1, length(previous) - 1), ',')) AS goes_on
     SELECT TraceId, SpanId, ParentSpanId, SpanName, ScopeName, toUnixTimestamp64Micro(Timestamp), Duration / 1e6,
            StatusCode = 'Error', ErrorType, Loop, RunId, Record, Operation, Agent, AgentRole, ParentAgent,
            Provider, RequestModel, ResponseModel, InputTokens, OutputTokens, CostUsd,
            if(goes_on, lagInFrame(concat(TraceId, SpanId)) OVER conversation, ''),
            if(goes_on, concat('[', substring(list, length(previous) + 1)), list),
            [${ATTRIBUTES.map(attribute).join(', ')}],
            mapFilter((k, v) -> startsWith(k, 'gen_ai.request.') OR startsWith(k, 'loopscope.request.'), SpanAttributes),
            mapFilter((k, v) -> startsWith(k, '${A.contentHashes}.'), SpanAttributes),
            arrayFilter(k -> k != '', [${WITHHELD.map((name) => `if(${attribute(name)} != '', '${name}', '')`).join(', ')}])
     FROM ${store.database}.otel_traces
     WHERE TraceId IN {traceIds:Array(String)}
       -- Of the type of the column: held against whole seconds, a trace within one second would have no spans.
       AND Timestamp >= (SELECT toDateTime64(min(Start), 9) FROM ${times})
       AND Timestamp < (SELECT toDateTime64(max(End) + 1, 9) FROM ${times})
     WINDOW conversation AS (
       PARTITION BY ParentAgent, Agent, substring(list, 1, ${BEGINNING}) ORDER BY Timestamp, SpanId
       ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
     ORDER BY Timestamp, SpanId LIMIT {limit:UInt32}`,
    { traceIds, limit: RECORDING_SPANS_MAX + 1 },
  );
  const spans = new Map<string, RecordedSpan>();
  const lists = new Map<string, HashList>();
  let read = 0;
  for await (const piece of rows)
    for (const row of piece) {
      const key = `${row[0]}${row[1]}`;
      const list = row[23] === '' ? undefined : { before: lists.get(row[22]), added: readHashes(row[23]) };
      if (list) lists.set(key, list);
      if (++read <= RECORDING_SPANS_MAX && !spans.has(key)) spans.set(key, spanOf(row, list));
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
  goesOnFrom: string,
  added: string,
  attributes: string[],
  parameters: Record<string, string>,
  contents: Record<string, string>,
  withheld: string[],
];

function spanOf(row: Row, input: HashList | undefined): RecordedSpan {
  const attributes: RecordedSpan['attributes'] = {};
  row[24].forEach((value, i) => {
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
    input,
    attributes,
    parameters: row[25],
    contents: row[26],
    withheld: row[27],
  };
}

/** Hashes as spans carry them: a JSON list. What is none, as a stranger may send it, has none. */
export function readHashes(list: string | undefined): string[] {
  if (list === undefined) return [];
  try {
    const said: unknown = JSON.parse(list);
    return Array.isArray(said) ? said.filter((hash) => typeof hash === 'string') : [];
  } catch {
    return [];
  }
}

/** A piece of content. */
export interface StoredContent {
  role: string;
  content: string;
}

/** ClickHouse takes a parameter of up to 128 KiB, in which a hash is 67 characters. */
const HASHES_PER_PARAMETER = 1_500;
const PARAMETERS_PER_QUERY = 20;

/** Contents by hash; what is not kept is not in the map. */
export async function contentsByHash(
  store: Store,
  hashes: Iterable<string>,
): Promise<Map<string, StoredContent>> {
  const wanted = [...new Set(hashes)];
  const contents = new Map<string, StoredContent>();
  for (const some of chunks(wanted, HASHES_PER_PARAMETER * PARAMETERS_PER_QUERY)) {
    const lists = chunks(some, HASHES_PER_PARAMETER);
    const names = lists.map((_, i) => `{h${i}:Array(String)}`);
    const rows = store.stream<[hash: string, role: string, content: string]>(
      `SELECT hash, role, content FROM ${store.database}.messages
       WHERE hash IN ${names.length === 1 ? names[0] : `arrayConcat(${names.join(', ')})`} LIMIT 1 BY hash`,
      Object.fromEntries(lists.map((list, i) => [`h${i}`, list])),
    );
    for await (const piece of rows)
      for (const [hash, role, content] of piece) contents.set(hash, { role, content });
  }
  return contents;
}

function chunks<T>(all: readonly T[], size: number): T[][] {
  const parts: T[][] = [];
  for (let i = 0; i < all.length; i += size) parts.push(all.slice(i, i + size));
  return parts;
}

/** Of these runs those that were seen other than by importing a recording, a few at most. */
export async function runsOfProduction(
  store: Store,
  { loop, runIds, scope }: { loop: string; runIds: readonly string[]; scope: string },
): Promise<string[]> {
  const known: string[] = [];
  for (const some of chunks(runIds, RUNS_PER_PARAMETER)) {
    const rows = await store.query<{ runId: string }>(
      `SELECT DISTINCT RunId AS runId FROM ${store.database}.otel_traces
       WHERE Loop = {loop:String} AND ScopeName != {scope:String} AND RunId IN (
         SELECT run_id FROM ${store.database}.run_parts WHERE loop = {loop:String} AND run_id IN {runIds:Array(String)})
       ORDER BY runId LIMIT 10`,
      { loop, runIds: some, scope },
    );
    known.push(...rows.map(({ runId }) => runId));
  }
  return known;
}

/** Names are longer than hashes. */
const RUNS_PER_PARAMETER = 200;
