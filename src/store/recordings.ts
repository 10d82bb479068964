import { A } from '../span/attributes.ts';
import type { Store } from './client.ts';
import { type HashList, Histories } from './hash-list.ts';
import type { NativeBlock } from './native.ts';
import { goldenScores } from './runs.ts';

/**
 * What recordings are put together from: what is known of a run as a whole, which traces it is in, and the spans of traces;
 * their content is in recorded-contents.ts. All of it can be read side by side, and is found by an index, however much else is
 * stored.
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
    `WITH (SELECT (min(started_at), max(ended_at)) FROM ${part}) AS times
     SELECT DISTINCT TraceId AS traceId FROM ${store.database}.otel_traces
     WHERE RunId = {runId:String} AND Loop = {loop:String}
       -- Within the run's time: of the days before and after it not even the index is read.
       AND Timestamp >= times.1 AND Timestamp <= times.2
     LIMIT {limit:UInt32}
     -- Also where its spans are gone.
     UNION DISTINCT SELECT max(trace_id) AS traceId FROM ${part} HAVING count() > 0`,
    { ...run, limit: TRACES_MAX },
  );
  return rows.map(({ traceId }) => traceId);
}

/** A stored span, as far as a recording needs it. `''` where there is nothing, `null` where nobody said. */
export interface RecordedSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  /** Where it was read too. Strangers' spans may go in a circle. */
  parent: RecordedSpan | undefined;
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

/** The spans of traces in the order they began, each once; at most `RECORDING_SPANS_MAX`, and whether there are more. */
export async function recordedSpans(
  store: Store,
  traceIds: readonly string[],
): Promise<{ spans: RecordedSpan[]; cut: boolean }> {
  // The server would move all that a span says to put them in order: it does only where there are too many.
  let read = await readSpans(store, traceIds, '');
  const cut = read.length > RECORDING_SPANS_MAX;
  if (cut) read = await readSpans(store, traceIds, 'ORDER BY Timestamp, SpanId');
  read.sort(inTime);
  const spans: RecordedSpan[] = [];
  const byIds = new Map<string, Map<string, RecordedSpan>>();
  const histories = new Histories();
  for (const { span, history } of read.slice(0, RECORDING_SPANS_MAX)) {
    const ofTrace = byIds.get(span.traceId) ?? new Map<string, RecordedSpan>();
    byIds.set(span.traceId, ofTrace);
    if (ofTrace.has(span.spanId)) continue;
    ofTrace.set(span.spanId, span);
    if (history) span.input = histories.read(span, history);
    spans.push(span);
  }
  for (const span of spans) span.parent = byIds.get(span.traceId)!.get(span.parentSpanId);
  return { spans, cut };
}

/** A span with what is needed to put it in its place. */
interface ReadSpan {
  span: RecordedSpan;
  /** Of its beginning, what microseconds do not tell. */
  nanoseconds: number;
  /** The hashes that it was asked with, as they were sent. */
  history: Buffer | undefined;
}

const inTime = (a: ReadSpan, b: ReadSpan): number =>
  a.span.startUs - b.span.startUs ||
  a.nanoseconds - b.nanoseconds ||
  (a.span.spanId < b.span.spanId ? -1 : a.span.spanId > b.span.spanId ? 1 : 0);

async function readSpans(store: Store, traceIds: readonly string[], order: string): Promise<ReadSpan[]> {
  const db = store.database;
  const blocks = store.blocks(
    // Times of the type of the column: held against whole seconds, a trace within one second would have no spans.
    `WITH (SELECT (toDateTime64(min(Start), 9), toDateTime64(max(End) + 1, 9))
           FROM ${db}.otel_traces_trace_id_ts WHERE TraceId IN {traceIds:Array(String)}) AS times
     SELECT toLowCardinality(TraceId) AS traceId, SpanId AS spanId, ParentSpanId AS parentSpanId, SpanName AS name,
            ScopeName AS scope, toFloat64(toUnixTimestamp64Micro(Timestamp)) AS startUs,
            toFloat64(toUnixTimestamp64Nano(Timestamp) % 1000) AS nanoseconds, Duration / 1e6 AS durationMs,
            (StatusCode = 'Error')::UInt8 AS failed, ErrorType AS errorType, Loop AS loop,
            toLowCardinality(RunId) AS runId, Record AS record, Operation AS operation, Agent AS agent, AgentRole AS role,
            ParentAgent AS parentAgent, Provider AS provider, RequestModel AS model, ResponseModel AS servedModel,
            InputTokens::Nullable(Float64) AS inputTokens, OutputTokens::Nullable(Float64) AS outputTokens,
            CostUsd AS costUsd, SpanAttributes AS attributes
     FROM ${db}.otel_traces
     WHERE TraceId IN {traceIds:Array(String)} AND Timestamp >= times.1 AND Timestamp < times.2
     ${order} LIMIT {limit:UInt32}`,
    { traceIds, limit: RECORDING_SPANS_MAX + 1 },
  );
  const spans: ReadSpan[] = [];
  for await (const block of blocks) for (const span of spansOf(block)) spans.push(span);
  return spans;
}

function* spansOf(block: NativeBlock): Generator<ReadSpan> {
  const traceId = block.texts('traceId');
  const spanId = block.texts('spanId');
  const parentSpanId = block.texts('parentSpanId');
  const name = block.texts('name');
  const scope = block.texts('scope');
  const startUs = block.numbers('startUs');
  const nanoseconds = block.numbers('nanoseconds');
  const durationMs = block.numbers('durationMs');
  const failed = block.numbers('failed');
  const errorType = block.texts('errorType');
  const loop = block.texts('loop');
  const runId = block.texts('runId');
  const record = block.texts('record');
  const operation = block.texts('operation');
  const agent = block.texts('agent');
  const role = block.texts('role');
  const parentAgent = block.texts('parentAgent');
  const provider = block.texts('provider');
  const model = block.texts('model');
  const servedModel = block.texts('servedModel');
  const inputTokens = block.numbers('inputTokens');
  const outputTokens = block.numbers('outputTokens');
  const costUsd = block.numbers('costUsd');
  const said = block.maps('attributes');
  const places: Place[] = [];
  for (let i = 0; i < block.rows; i++) {
    const span: RecordedSpan = {
      traceId: traceId.at(i),
      spanId: spanId.at(i),
      parentSpanId: parentSpanId.at(i),
      parent: undefined,
      name: name.at(i),
      scope: scope.at(i),
      startUs: startUs.at(i),
      durationMs: durationMs.at(i),
      failed: failed.at(i) === 1,
      errorType: errorType.at(i),
      loop: loop.at(i),
      runId: runId.at(i),
      record: record.at(i),
      operation: operation.at(i),
      agent: agent.at(i),
      role: role.at(i),
      parentAgent: parentAgent.at(i),
      provider: provider.at(i),
      model: model.at(i),
      servedModel: servedModel.at(i),
      inputTokens: inputTokens.orNullAt(i),
      outputTokens: outputTokens.orNullAt(i),
      costUsd: costUsd.orNullAt(i),
      input: undefined,
      attributes: {},
      parameters: {},
      contents: {},
      withheld: [],
    };
    let history: Buffer | undefined;
    for (let at = said.from(i); at < said.from(i + 1); at++) {
      const name = said.names.at(at);
      const which = said.names.which(at);
      places[which] ??= placeOf(name);
      const place = places[which];
      if (place === 'nowhere') continue;
      if (place === 'input') history = said.values.bytesAt(at);
      else if (place === 'withheld') span.withheld.push(name);
      else {
        const value = said.values.at(at);
        if (value !== '') (span[place] as Record<string, string>)[name] = value;
      }
    }
    yield { span, nanoseconds: nanoseconds.at(i), history };
  }
}

type Place = 'input' | 'attributes' | 'contents' | 'withheld' | 'parameters' | 'nowhere';

/** Where in a span an attribute of this name goes. */
function placeOf(name: string): Place {
  if (name === A.inputMessageHashes) return 'input';
  if (IS_ATTRIBUTE.has(name)) return 'attributes';
  if (name.startsWith(`${A.contentHashes}.`)) return 'contents';
  if (WITHHELD.includes(name)) return 'withheld';
  return name.startsWith('gen_ai.request.') || name.startsWith('loopscope.request.')
    ? 'parameters'
    : 'nowhere';
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
