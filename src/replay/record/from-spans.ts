import { A, REPLAY_RECORD_PREFIX } from '../../span/attributes.ts';
import { recordSpanId } from '../../span/ids.ts';
import type { StoredContent } from '../../store/recorded-contents.ts';
import type { RecordedRun, RecordedSpan } from '../../store/recordings.ts';
import type { Gap, ModelCall, Recording, Statement, Step, ToolCall } from '../recording.ts';
import { agentAt } from './agent-at.ts';
import { ancestors } from './ancestors.ts';
import { Contents, type Known } from './contents.ts';
import { Gaps, type Missing, readMissing } from './gaps.ts';
import { pairTools, toolCallsOf } from './tool-calls.ts';

/** What a recording is put together from. */
export interface RecordedTrace {
  /** `''` for a trace that is no run of a loop. */
  loop: string;
  run: string;
  /** What is known of it beside its spans. */
  facts: RecordedRun | undefined;
  spans: readonly RecordedSpan[];
  /** Whether it has more spans than were read. */
  cut: boolean;
  contents: ReadonlyMap<string, StoredContent>;
  /** What the registry says is kept of the loop's content now; `undefined` where it does not know the loop. */
  capture: 'off' | 'hashed' | 'full' | undefined;
}

/** The instrumentation scope of spans that were made from a recording. */
export const RECORD_SCOPE = 'loopscope.recording';

/**
 * The spans of a run, ours and those of anybody's instrumentation, as the recording that they make up.
 *
 * A step is a model call, a tool call, or something said of the run; attempts, agents and everything else that has spans
 * are none. A tool call is taken from its own span where it has one, completed by what model calls tell of it, else from
 * these alone. A model call that was told twice, by the loop's instrumentation and by the gateway below it, is the one
 * nearest to the provider. Spans that were made from a recording say all there is, and nothing is added to them.
 */
export function recordingFromSpans(trace: RecordedTrace): Recording {
  const { facts, cut } = trace;
  const spans = ownSpans(trace);
  const gaps = new Gaps();
  const origin = Math.min(
    ...(facts ? [Math.round(facts.startedAt * 1000)] : []),
    ...spans.map(({ startUs }) => startUs),
  );
  const reader = new StepReader(trace, spans, origin, gaps);
  const steps = reader.steps();
  if (cut) gaps.add('spans', 'too_large');
  if (spans.length === 0) gaps.add('spans', 'expired');
  const run = spans.find(({ record }) => kindOf(record) === 'run');
  for (const [what, why] of Object.entries(readMissing(run?.attributes[A.missing])))
    if (what === 'spans' || what === 'call') gaps.add(what, why);
  return {
    loop: trace.loop,
    run: trace.run,
    traceId: facts?.traceId ?? spans[0]!.traceId,
    replayOf: spans.find(({ attributes }) => attributes[A.replayOf])?.attributes[A.replayOf] ?? null,
    startedAt: origin / 1000,
    durationMs: (endOf(spans, facts) - origin) / 1000,
    ...summary(trace, spans, steps),
    steps,
    gaps: gaps.list(steps),
  };
}

/**
 * The spans that are the run's. Another run may share its trace, and so may the spans of tools, which the loop's own
 * instrumentation makes and which may not say whose they are: they belong here unless another run in the trace has them.
 */
function ownSpans({ spans, loop, run, facts }: RecordedTrace): RecordedSpan[] {
  if (!facts) return [...spans];
  const isMine = (span: RecordedSpan) => span.loop === loop && span.runId === run;
  const key = ({ loop, runId }: RecordedSpan) => JSON.stringify([loop, runId]);
  const others = new Set(spans.filter((span) => isCall(span) && !isMine(span)).map(key));
  return spans.filter((span) => isMine(span) || (isTool(span) && !others.has(key(span))));
}

/** What a span stands for, in a replay as in production. */
const kindOf = (record: string): string =>
  record.startsWith(REPLAY_RECORD_PREFIX) ? record.slice(REPLAY_RECORD_PREFIX.length) : record;

const isCall = ({ record }: RecordedSpan) => kindOf(record) === 'call';
const isTool = ({ operation, record }: RecordedSpan) =>
  operation === 'execute_tool' && (record === '' || kindOf(record) === 'tool');
const isOurs = ({ scope }: RecordedSpan) => scope === RECORD_SCOPE;

const endUs = ({ startUs, durationMs }: RecordedSpan): number => startUs + Math.floor(durationMs * 1000);

function endOf(spans: readonly RecordedSpan[], facts: RecordedRun | undefined): number {
  let end = facts ? Math.round(facts.endedAt * 1000) : 0;
  for (const span of spans) end = Math.max(end, endUs(span));
  return end;
}

/** A step with when it began, to be put in order. */
interface Placed {
  us: number;
  step: Step;
}

/** A tool call with the span that it was read from, and what that says that it was given and gave. */
interface ToolSpan {
  tool: ToolCall;
  span: RecordedSpan;
  given: Known<string>;
  gave: Known<string>;
}

/** Reads the spans of a run one by one, and then what model calls tell of tools. */
class StepReader {
  readonly #spans: readonly RecordedSpan[];
  readonly #origin: number;
  readonly #gaps: Gaps;
  readonly #contents: Contents;
  readonly #placed: Placed[] = [];
  readonly #calls = new Map<ModelCall, RecordedSpan>();
  readonly #tools: ToolSpan[] = [];

  constructor(trace: RecordedTrace, spans: readonly RecordedSpan[], origin: number, gaps: Gaps) {
    this.#spans = spans;
    this.#origin = origin;
    this.#gaps = gaps;
    this.#contents = new Contents(trace.contents, trace.capture);
  }

  steps(): Step[] {
    const outer = outerCalls(this.#spans);
    for (const span of this.#spans) {
      const kind = kindOf(span.record);
      if (isTool(span)) this.#tool(span);
      else if (kind === 'verdict' || kind === 'effect') this.#statement(span, kind);
      else if (kind === 'call' && !outer.has(span)) {
        if (span.operation === 'embeddings') this.#gaps.add('call', 'not_recorded');
        else this.#call(span);
      }
    }
    this.#addTold();
    for (const tool of this.#tools) this.#toolGaps(tool);
    return this.#placed.sort((a, b) => a.us - b.us).map(({ step }) => step);
  }

  #base(span: RecordedSpan, missing: Missing) {
    return {
      spanId: span.spanId,
      ...agentAt(span),
      atMs: (span.startUs - this.#origin) / 1000,
      durationMs: missing.duration ? null : micro(span.durationMs),
      error: span.errorType || (span.failed ? 'error' : null),
    };
  }

  #call(span: RecordedSpan): void {
    const { attributes: a } = span;
    const missing = readMissing(a[A.missing]);
    const input = this.#contents.input(span, missing);
    const output = this.#contents.output(span, missing);
    const toolDefinitions = this.#contents.toolDefinitions(span, missing);
    const seconds = numberOf(a[A.timeToFirstChunk]);
    const api = a[A.api];
    const call: ModelCall = {
      kind: 'call',
      ...this.#base(span, missing),
      provider: span.provider,
      api: api === 'chat_completions' || api === 'responses' || api === 'messages' ? api : null,
      stream: a[A.requestStream] === 'true',
      model: span.model,
      servedModel: span.servedModel || null,
      parameters: parametersOf(span.parameters),
      promptVersion: a[A.promptVersion] ?? null,
      toolsVersion: a[A.toolsVersion] ?? null,
      toolDefinitions: toolDefinitions.value,
      input: input.value,
      output: output.value,
      finishReasons: listOf(a[A.finishReasons]).filter((reason) => typeof reason === 'string'),
      inputTokens: span.inputTokens,
      outputTokens: span.outputTokens,
      costUsd: span.costUsd,
      firstChunkMs: seconds === null ? null : micro(seconds * 1000),
      pieces: piecesOf(a[A.streamPieces]),
    };
    this.#calls.set(call, span);
    this.#placed.push({ us: span.startUs, step: call });
    this.#gap(call, span, 'input', input, missing);
    // A call that failed has no answer, and nobody misses it.
    if (call.error === null || missing.output !== undefined || output.why !== 'not_recorded')
      this.#gap(call, span, 'output', output, missing);
    this.#gap(call, span, 'tool_definitions', toolDefinitions, missing);
    if (a[A.verdictPass] !== undefined) this.#verdictOf(span, call);
  }

  /** What was made from a recording has no gaps but those that it says, and what is not stored any more. */
  #gap(
    step: Step,
    span: RecordedSpan,
    what: keyof Missing & Gap['what'],
    known: Known<unknown>,
    missing: Missing,
  ): void {
    if (known.why === undefined) return;
    const isSilent = isOurs(span) && missing[what] === undefined && known.why === 'not_recorded';
    if (!isSilent) this.#gaps.add(what, known.why, step);
  }

  #tool(span: RecordedSpan): void {
    const { attributes: a } = span;
    const missing = readMissing(a[A.missing]);
    const given = this.#contents.arguments(span, missing);
    const gave = this.#contents.result(span, missing);
    const tool: ToolCall = {
      kind: 'tool',
      ...this.#base(span, missing),
      tool: a[A.toolName] ?? span.name.replace(/^execute_tool /, ''),
      callId: a[A.toolCallId] ?? '',
      arguments: given.value,
      result: gave.value,
    };
    this.#tools.push({ tool, span, given, gave });
    this.#placed.push({ us: span.startUs, step: tool });
  }

  /** Asked when model calls have told what they know: only what they did not tell either is missing. */
  #toolGaps({ tool, span, given, gave }: ToolSpan): void {
    const missing = readMissing(span.attributes[A.missing]);
    const isPartly = (why: Gap['why'] | undefined) => why === 'redacted';
    if (tool.arguments === null || isPartly(given.why))
      this.#gap(tool, span, 'tool_arguments', given, missing);
    if (tool.result === null || isPartly(gave.why)) this.#gap(tool, span, 'tool_result', gave, missing);
  }

  /** Adds the tool calls that only model calls tell of, and to the others what these tell of them. */
  #addTold(): void {
    const told = toolCallsOf([...this.#calls].flatMap(([call, span]) => (isOurs(span) ? [] : [call])));
    const own = this.#tools.flatMap(({ tool, span }) => (isOurs(span) ? [] : [tool]));
    const pairs = pairTools(own, [...told.values()].flat());
    for (const [tool, by] of pairs) {
      // The model's own words are what a replay compares, and what it gives.
      tool.arguments = by.arguments ?? tool.arguments;
      tool.result = by.result ?? tool.result;
      tool.callId ||= by.callId;
      if (tool.agent === '')
        Object.assign(tool, { agent: by.agent, role: by.role, parentAgent: by.parentAgent });
    }
    const paired = new Set(pairs.values());
    for (const [call, tools] of told)
      tools.forEach((tool, i) => {
        if (paired.has(tool)) return;
        tool.spanId = recordSpanId(this.#calls.get(call)!.traceId, 'tool', call.spanId, String(i));
        this.#placed.push({ us: Math.round(tool.atMs * 1000) + this.#origin, step: tool });
        if (tool.arguments === null) this.#gaps.add('tool_arguments', 'not_recorded', tool);
        if (tool.result === null) this.#gaps.add('tool_result', 'not_recorded', tool);
      });
  }

  #statement(span: RecordedSpan, kind: 'verdict' | 'effect'): void {
    const { attributes: a } = span;
    const said = kind === 'verdict' ? a[A.verdictPass] : a[A.effectAccepted];
    const step: Statement = {
      kind,
      ...this.#base(span, readMissing(a[A.missing])),
      name: (kind === 'verdict' ? a[A.checkerName] : a[A.effect]) ?? '',
      pass: said === undefined ? null : said === 'true',
    };
    this.#placed.push({ us: span.startUs, step });
  }

  /** The verdict that was read out of a checker's answer. */
  #verdictOf(span: RecordedSpan, { spanId, agent, role, parentAgent }: ModelCall): void {
    const us = endUs(span);
    const step: Statement = {
      kind: 'verdict',
      spanId: recordSpanId(span.traceId, 'verdict', spanId),
      agent,
      role,
      parentAgent,
      atMs: (us - this.#origin) / 1000,
      durationMs: 0,
      error: null,
      name: span.attributes[A.checkerName] ?? agent,
      pass: span.attributes[A.verdictPass] === 'true',
    };
    this.#placed.push({ us, step });
  }
}

/** Model calls that have another one below them: an instrumentation's, around the gateway's or another one's. */
function outerCalls(spans: readonly RecordedSpan[]): Set<RecordedSpan> {
  const outer = new Set<RecordedSpan>();
  for (const span of spans) {
    if (!isCall(span) || isOurs(span)) continue;
    for (const above of ancestors(span)) {
      if (outer.has(above)) break;
      if (isCall(above)) outer.add(above);
      // What is below an agent or a tool is no part of the same call.
      else if (above.operation !== '') break;
    }
  }
  return outer;
}

type Summary = Omit<
  Recording,
  'loop' | 'run' | 'traceId' | 'replayOf' | 'startedAt' | 'durationMs' | 'steps' | 'gaps'
>;

/** What is known of the run as a whole; a replay, which is in no view of runs, is known by its spans alone. */
function summary({ facts }: RecordedTrace, spans: readonly RecordedSpan[], steps: readonly Step[]): Summary {
  const run = spans.findLast(({ record }) => kindOf(record) === 'run');
  const calls = steps.filter((step) => step.kind === 'call');
  const maker = calls.filter(({ role }) => role === 'maker');
  const judged = spans.findLast(({ attributes }) => attributes[A.verdictPass] !== undefined)?.attributes;
  const verdict = judged && {
    pass: judged[A.verdictPass] === 'true',
    checker: judged[A.checkerName] ?? '',
  };
  const ofFacts = facts && {
    state: facts.state,
    versions: {
      model: facts.model || null,
      servedModel: facts.servedModel || null,
      prompt: facts.promptVersion || null,
      tools: facts.toolsVersion || null,
      checker: facts.checkerVersion || null,
    },
    verdict: facts.checkerPass === null ? null : { pass: facts.checkerPass, checker: facts.checkerName },
    goldenScore: facts.goldenScore,
    itemId: facts.itemId || null,
    inputTokens: facts.inputTokens,
    outputTokens: facts.outputTokens,
    costUsd: facts.costUsd,
  };
  return (
    ofFacts ?? {
      state: run === undefined ? 'running' : isFailed(run) ? 'failed' : 'ended',
      versions: {
        model: newest(maker, ({ model }) => model || null),
        servedModel: newest(maker, ({ servedModel }) => servedModel),
        prompt: newest(maker, ({ promptVersion }) => promptVersion),
        tools: newest(maker, ({ toolsVersion }) => toolsVersion),
        checker: judged?.[A.checkerVersion] ?? null,
      },
      verdict: verdict ?? null,
      goldenScore: numberOf(run?.attributes[A.goldenScore]),
      itemId: spans.find(({ attributes }) => attributes[A.itemId])?.attributes[A.itemId] ?? null,
      inputTokens: total(calls.map(({ inputTokens }) => inputTokens)),
      outputTokens: total(calls.map(({ outputTokens }) => outputTokens)),
      costUsd: total(calls.map(({ costUsd }) => costUsd)),
    }
  );
}

const isFailed = ({ failed, attributes }: RecordedSpan) => failed || attributes[A.outcome] === 'error';

function newest(calls: readonly ModelCall[], of: (call: ModelCall) => string | null): string | null {
  const call = calls.findLast((call) => of(call) !== null);
  return call ? of(call) : null;
}

const total = (figures: readonly (number | null)[]): number | null =>
  figures.reduce((sum, figure) => (figure === null ? sum : (sum ?? 0) + figure), null);

/** Milliseconds to the microsecond, as times are kept here. */
const micro = (ms: number): number => Math.round(ms * 1000) / 1000;

const numberOf = (text: string | undefined): number | null => {
  const number = text ? Number(text) : Number.NaN;
  return Number.isFinite(number) ? number : null;
};

/** A request says these of itself in fields of its own. */
const NO_PARAMETERS = new Set(['model', 'stream']);

/** Attributes are texts; what reads as a number or a truth value was one. */
function parametersOf(sent: Record<string, string>): ModelCall['parameters'] {
  const parameters: [string, string | number | boolean][] = [];
  for (const [attribute, value] of Object.entries(sent)) {
    const name = attribute.slice(attribute.indexOf('.request.') + '.request.'.length);
    if (NO_PARAMETERS.has(name)) continue;
    const isNumber = /^-?\d{1,15}(?:\.\d{1,20})?(?:e[+-]?\d{1,3})?$/.test(value);
    parameters.push([name, isNumber ? Number(value) : value === 'true' || (value !== 'false' && value)]);
  }
  return Object.fromEntries(parameters);
}

function listOf(json: string | undefined): unknown[] {
  if (json === undefined) return [];
  try {
    const said: unknown = JSON.parse(json);
    return Array.isArray(said) ? said : [];
  } catch {
    return [];
  }
}

function piecesOf(json: string | undefined): ModelCall['pieces'] {
  if (json === undefined) return null;
  return listOf(json).filter(
    (piece): piece is [number, number] =>
      Array.isArray(piece) && piece.length === 2 && piece.every((n) => Number.isFinite(n)),
  );
}
