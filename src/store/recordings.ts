import { A } from '../span/attributes.ts';
import type { Store } from './client.ts';
import { goldenScores } from './runs.ts';

/**
 * What recordings are put together from: what is known of a run as a whole and the spans of its traces, and beside them their
 * content (recorded-contents.ts). Which traces these are is asked first; the other reads can then go on side by side. Runs
 * and spans are found by an index, however many others are stored.
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
  traceId: string;
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
  return (
    facts && {
      ...facts,
      goldenScore: score?.score ?? null,
      checkerPass: facts.checkerPass === null ? null : facts.checkerPass === 1,
    }
  );
}

interface Facts extends Omit<RecordedRun, 'checkerPass' | 'goldenScore'> {
  checkerPass: number | null;
}

/** Traces of one run that are read. */
const TRACES_MAX = 1_000;

/** The traces that the spans of a run are in: one, unless its callers brought several of their own; none of an unknown run. */
export async function recordedTraces(store: Store, run: { loop: string; runId: string }): Promise<string[]> {
  const part = `${store.database}.run_parts WHERE run_id = {runId:String} AND loop = {loop:String}`;
  const rows = await store.query<{ traceId: string }>(
    `SELECT DISTINCT TraceId AS traceId FROM ${store.database}.otel_traces
     WHERE RunId = {runId:String} AND Loop = {loop:String}
       -- Within the run's time: of the days before and after it not even the index is read.
       AND Timestamp >= (SELECT min(started_at) FROM ${part}) AND Timestamp <= (SELECT max(ended_at) FROM ${part})
     LIMIT {limit:UInt32}
     -- Also where its spans are gone.
     UNION DISTINCT SELECT max(trace_id) AS traceId FROM ${part} HAVING count() > 0`,
    { ...run, limit: TRACES_MAX },
  );
  return rows.map(({ traceId }) => traceId);
}

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
const IS_ATTRIBUTE: ReadonlySet<string> = new Set(ATTRIBUTES);

/** Most spans of a run that are read. */
export const RECORDING_SPANS_MAX = 20_000;

/** What senders leave in the place of content that they do not tell; everything else has become a hash. */
const WITHHELD: readonly string[] = [A.inputMessages, A.outputMessages, A.toolArguments, A.toolResult];

const attribute = (name: string) => `SpanAttributes['${name}']`;
const quoted = (names: readonly string[]) => names.map((name) => `'${name}'`).join(', ');

/** Two hashes of a list: what an agent is told first, and what it is asked. Its conversations differ in them. */
const BEGINNING = 72;

/**
 * A history, in `list`, is mostly the one before it in the same conversation and a little more. Only the little is taken: all
 * of them would be most of a long run's bytes.
 */
const ADDED = `
  lagInFrame(list) OVER conversation AS previous,
  startsWith(list, concat(substring(previous, 1, length(previous) - 1), ',')) AS goes_on,
  if(goes_on, concat('[', substring(list, length(previous) + 1)), list) AS added`;
const CONVERSATION = `
  WINDOW conversation AS (
    PARTITION BY ParentAgent, Agent, substring(list, 1, ${BEGINNING}) ORDER BY Timestamp, SpanId
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)`;

/** Of traces, by their times too. */
function ofTraces(database: string): string {
  const times = `${database}.otel_traces_trace_id_ts WHERE TraceId IN {traceIds:Array(String)}`;
  // Of the type of the column: held against whole seconds, a trace within one second would have no spans.
  return `${database}.otel_traces WHERE TraceId IN {traceIds:Array(String)}
       AND Timestamp >= (SELECT toDateTime64(min(Start), 9) FROM ${times})
       AND Timestamp < (SELECT toDateTime64(max(End) + 1, 9) FROM ${times})`;
}

/** The spans of traces in the order they began, each once; at most `RECORDING_SPANS_MAX`, and whether there are more. */
export async function recordedSpans(
  store: Store,
  traceIds: readonly string[],
): Promise<{ spans: RecordedSpan[]; cut: boolean }> {
  const rows = store.stream<Row>(
    `WITH ${attribute(A.inputMessageHashes)} AS list, ${ADDED}
     SELECT TraceId, SpanId, ParentSpanId, SpanName, ScopeName, toUnixTimestamp64Micro(Timestamp), Duration / 1e6,
            StatusCode = 'Error', ErrorType, Loop, RunId, Record, Operation, Agent, AgentRole, ParentAgent,
            Provider, RequestModel, ResponseModel, InputTokens, OutputTokens, CostUsd,
            if(goes_on, lagInFrame(concat(TraceId, SpanId)) OVER conversation, ''), added,
            mapFilter((k, v) -> k IN (${quoted([...ATTRIBUTES, ...WITHHELD])}) OR startsWith(k, 'gen_ai.request.')
                OR startsWith(k, 'loopscope.request.') OR startsWith(k, '${A.contentHashes}.'), SpanAttributes)
     FROM ${ofTraces(store.database)} ${CONVERSATION}
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
  attributes: Record<string, string>,
];

function spanOf(row: Row, input: HashList | undefined): RecordedSpan {
  const attributes: RecordedSpan['attributes'] = {};
  const parameters: RecordedSpan['parameters'] = {};
  const contents: RecordedSpan['contents'] = {};
  const withheld: string[] = [];
  for (const [name, value] of Object.entries(row[24])) {
    if (value === '') continue;
    if (IS_ATTRIBUTE.has(name)) attributes[name as RecordedAttribute] = value;
    else if (name.startsWith(`${A.contentHashes}.`)) contents[name] = value;
    else if (WITHHELD.includes(name)) withheld.push(name);
    else parameters[name] = value;
  }
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
    parameters,
    contents,
    withheld,
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

/** `all` in parts of at most `size`. */
export function chunks<T>(all: readonly T[], size: number): T[][] {
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
