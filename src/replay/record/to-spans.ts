import { contentHash, inputHash } from '../../records/normalize.ts';
import { A, REPLAY_RECORD_PREFIX } from '../../span/attributes.ts';
import { agentSpanId, recordSpanId, runSpanId } from '../../span/ids.ts';
import { LIMITS } from '../../span/limits.ts';
import { type Attributes, emptyAttributes, type Span } from '../../span/span.ts';
import type { Message, ModelCall, Recording, Statement, Step, ToolCall } from '../recording.ts';
import { RECORD_SCOPE } from './from-spans.ts';
import type { Missing } from './gaps.ts';

export interface ToSpansOptions {
  /** Whether the loop is in the registry. */
  registered?: boolean;
  /** Of a replay: the trace of the run that it replays, to be linked to. */
  originalTraceId?: string;
}

/**
 * The spans of a recording, which say all that it says: read again they give the same recording.
 *
 * - A recording that replays another run becomes a replay: its spans count nowhere among those of production.
 * - Steps that began at the same time are a nanosecond apart, so that they stay in order.
 * - Each message is on one span only, the first that has it; everywhere else stands its hash, however often a history is
 *   told again.
 * - What is not in the recording, and why, is on the spans of the steps that lack it.
 */
export function recordingToSpans(recording: Recording, options: ToSpansOptions = {}): Span[] {
  return new SpanWriter(recording, options).spans();
}

class SpanWriter {
  readonly #recording: Recording;
  readonly #options: ToSpansOptions;
  readonly #originUs: number;
  readonly #missing = new Map<Step, Missing>();
  /** Hashes of what is on a span already. */
  readonly #told = new Set<string>();
  readonly #hashes = new Map<Message, { hash: string; json: string }>();

  constructor(recording: Recording, options: ToSpansOptions) {
    this.#recording = recording;
    this.#options = options;
    this.#originUs = Math.round(recording.startedAt * 1000);
    for (const { what, why, steps } of recording.gaps)
      for (const place of steps) {
        const step = recording.steps[place];
        if (step) this.#missing.set(step, { ...this.#missing.get(step), [what]: why });
      }
  }

  spans(): Span[] {
    const { steps, state } = this.#recording;
    const spans = state === 'running' ? [] : [this.#run()];
    spans.push(...this.#agents());
    let sameTime = 0;
    steps.forEach((step, i) => {
      sameTime = i > 0 && us(steps[i - 1]!.atMs) === us(step.atMs) ? sameTime + 1 : 0;
      spans.push(this.#step(step, BigInt(Math.min(sameTime, SAME_TIME_MAX))));
    });
    return spans;
  }

  #run(): Span {
    const { loop, traceId, state, durationMs, itemId, goldenScore, gaps } = this.#recording;
    const { originalTraceId } = this.#options;
    const missing = Object.fromEntries(
      gaps.filter(({ steps }) => steps.length === 0).map(({ what, why }) => [what, why]),
    );
    const run = this.#span('run', {
      spanId: runSpanId(traceId),
      parentSpanId: '',
      name: `invoke_workflow ${loop}`,
      atMs: 0,
      durationMs,
      attributes: {
        [A.operation]: 'invoke_workflow',
        [A.itemId]: itemId,
        [A.goldenScore]: goldenScore,
        [A.outcome]: state === 'failed' ? 'error' : null,
        [A.missing]: jsonOf(missing),
      },
    });
    if (state === 'failed') run.statusCode = 'Error';
    if (originalTraceId !== undefined)
      run.links.push({
        traceId: originalTraceId,
        spanId: runSpanId(originalTraceId),
        traceState: '',
        attributes: emptyAttributes(),
      });
    return run;
  }

  /** Agents were at work from the beginning of their first step to the end of their last. */
  #agents(): Span[] {
    const { steps, traceId } = this.#recording;
    const agents = new Map<string, { path: string[]; role: string; from: number; to: number }>();
    for (const step of steps) {
      if (step.agent === '' || step.kind === 'verdict' || step.kind === 'effect') continue;
      const path = pathOf(step);
      const to = step.atMs + (step.durationMs ?? 0);
      // A parent is at work while its sub-agents are.
      for (let depth = 1; depth <= path.length; depth++) {
        const part = path.slice(0, depth);
        const key = part.join('\0');
        const known = agents.get(key) ?? { path: part, role: '', from: step.atMs, to };
        if (depth === path.length) known.role ||= step.role;
        agents.set(key, { ...known, from: Math.min(known.from, step.atMs), to: Math.max(known.to, to) });
      }
    }
    return [...agents.values()].map(({ path, role, from, to }) =>
      this.#span('agent', {
        spanId: agentSpanId(traceId, path),
        parentSpanId: path.length > 1 ? agentSpanId(traceId, path.slice(0, -1)) : runSpanId(traceId),
        name: `invoke_agent ${path.at(-1)}`,
        atMs: from,
        durationMs: to - from,
        attributes: {
          [A.operation]: 'invoke_agent',
          [A.agentName]: path.at(-1),
          [A.agentRole]: role || null,
          [A.parentAgent]: path.length > 1 ? path[0] : null,
        },
      }),
    );
  }

  #step(step: Step, laterNs: bigint): Span {
    const { traceId } = this.#recording;
    const missing: Missing = {
      ...this.#missing.get(step),
      ...(step.durationMs === null && { duration: 'not_recorded' as const }),
    };
    const [name, attributes] =
      step.kind === 'call'
        ? this.#call(step, missing)
        : step.kind === 'tool'
          ? this.#tool(step, missing)
          : this.#statement(step);
    const span = this.#span(step.kind, {
      spanId: step.spanId,
      parentSpanId: step.agent === '' ? runSpanId(traceId) : agentSpanId(traceId, pathOf(step)),
      name,
      atMs: step.atMs,
      durationMs: step.durationMs ?? 0,
      attributes: {
        [A.agentName]: step.agent || null,
        [A.agentRole]: step.role || null,
        [A.parentAgent]: step.parentAgent || null,
        ...attributes,
        [A.errorType]: step.error,
        [A.missing]: jsonOf(missing),
      },
    });
    span.startNs += laterNs;
    span.endNs += laterNs;
    if (step.kind === 'call') span.kind = 'Client';
    if (step.error !== null) span.statusCode = 'Error';
    return span;
  }

  #call(call: ModelCall, missing: Missing): [string, Values] {
    const { input, output, toolDefinitions, firstChunkMs, pieces } = call;
    const parameters = Object.entries(call.parameters).map(([name, value]) => [
      OUR_PARAMETERS.has(name) ? `loopscope.request.${name}` : `gen_ai.request.${name}`,
      value,
    ]);
    const userText = input && textOfRole(input, 'user');
    return [
      `chat ${call.model}`.trimEnd(),
      {
        [A.operation]: 'chat',
        [A.provider]: call.provider || null,
        [A.api]: call.api,
        [A.requestModel]: call.model || null,
        [A.requestStream]: call.stream,
        ...Object.fromEntries(parameters),
        [A.responseModel]: call.servedModel,
        [A.promptVersion]: call.promptVersion,
        [A.toolsVersion]: call.toolsVersion,
        ...this.#definitions(toolDefinitions, missing),
        ...(input && this.#messages(input, A.inputMessages, A.inputMessageHashes, 'input', missing)),
        ...(output && this.#messages(output, A.outputMessages, A.outputMessageHashes, 'output', missing)),
        [A.inputHash]: userText ? inputHash(userText) : null,
        [A.outputText]: (output?.[0] && textOfRole([output[0]], 'assistant')) || null,
        [A.finishReasons]: call.finishReasons.length > 0 ? JSON.stringify(call.finishReasons) : null,
        [A.inputTokens]: call.inputTokens,
        [A.outputTokens]: call.outputTokens,
        [A.costUsd]: call.costUsd,
        [A.timeToFirstChunk]: firstChunkMs === null ? null : firstChunkMs / 1000,
        [A.streamPieces]: pieces && JSON.stringify(pieces),
      },
    ];
  }

  /** The hashes of all messages, and those messages that no span has told yet. */
  #messages(
    messages: readonly Message[],
    contentName: string,
    hashesName: string,
    what: 'input' | 'output',
    missing: Missing,
  ): Values {
    const hashed = messages.map((message) => this.#hashed(message));
    const fresh = hashed.filter(({ hash }) => !this.#told.has(hash));
    const content = `[${[...new Set(fresh.map(({ json }) => json))].join(',')}]`;
    if (content.length > CONTENT_LENGTH_MAX) {
      missing[what] = 'too_large';
      return {};
    }
    for (const { hash } of fresh) this.#told.add(hash);
    return {
      [hashesName]: JSON.stringify(hashed.map(({ hash }) => hash)),
      [contentName]: fresh.length > 0 ? content : null,
    };
  }

  #hashed(message: Message): { hash: string; json: string } {
    let known = this.#hashes.get(message);
    if (!known) {
      const json = JSON.stringify(message);
      known = { hash: contentHash(json), json };
      this.#hashes.set(message, known);
    }
    return known;
  }

  #definitions(definitions: string | null, missing: Missing): Values {
    if (definitions === null) return {};
    if (definitions.length > CONTENT_LENGTH_MAX) {
      missing.tool_definitions = 'too_large';
      return {};
    }
    const hash = contentHash(definitions);
    const isTold = this.#told.has(hash);
    this.#told.add(hash);
    return isTold
      ? { [`${A.contentHashes}.${A.toolDefinitions}`]: JSON.stringify([hash]) }
      : { [A.toolDefinitions]: definitions };
  }

  #tool(tool: ToolCall, missing: Missing): [string, Values] {
    const fitting = (text: string | null, what: 'tool_arguments' | 'tool_result') => {
      if (text === null || text.length <= CONTENT_LENGTH_MAX) return text;
      missing[what] = 'too_large';
      return null;
    };
    return [
      `execute_tool ${tool.tool}`,
      {
        [A.operation]: 'execute_tool',
        [A.toolName]: tool.tool,
        [A.toolCallId]: tool.callId || null,
        [A.toolArguments]: fitting(tool.arguments, 'tool_arguments'),
        [A.toolResult]: fitting(tool.result, 'tool_result'),
      },
    ];
  }

  #statement({ kind, name, pass }: Statement): [string, Values] {
    return kind === 'verdict'
      ? [
          `verdict ${name}`,
          {
            [A.verdictPass]: pass,
            [A.checkerName]: name,
            [A.checkerVersion]: this.#recording.versions.checker,
          },
        ]
      : [`effect ${name}`, { [A.effect]: name, [A.effectAccepted]: pass }];
  }

  #span(record: string, parts: SpanParts): Span {
    const { loop, run, traceId, replayOf } = this.#recording;
    const { spanId, parentSpanId, name, atMs, durationMs, attributes } = parts;
    const startNs = BigInt(this.#originUs + us(atMs)) * 1000n;
    return {
      traceId,
      spanId,
      parentSpanId,
      traceState: '',
      name,
      kind: 'Internal',
      startNs,
      endNs: startNs + BigInt(us(durationMs)) * 1000n,
      statusCode: 'Unset',
      statusMessage: '',
      resource: present({ 'service.name': 'loopscope' }),
      scopeName: RECORD_SCOPE,
      scopeVersion: '',
      attributes: present({
        [A.loop]: loop,
        ...(replayOf === null
          ? { [A.runId]: run, [A.record]: record }
          : { [A.replayRunId]: run, [A.replayOf]: replayOf, [A.record]: REPLAY_RECORD_PREFIX + record }),
        [A.registered]: this.#options.registered,
        ...attributes,
      }),
      events: [],
      links: [],
    };
  }
}

type Values = Record<string, string | number | boolean | null | undefined>;

interface SpanParts extends Pick<Span, 'spanId' | 'parentSpanId' | 'name'> {
  atMs: number;
  durationMs: number;
  attributes: Values;
}

/** Nanoseconds within the microsecond that times are told to. */
const SAME_TIME_MAX = 999;
/** In UTF-8 a character is at most three bytes. */
const CONTENT_LENGTH_MAX = Math.floor(LIMITS.attributeValueBytesMax / 3);
/** What the conventions have no name for. */
const OUR_PARAMETERS = new Set(['response_format', 'tool_choice']);

const us = (ms: number): number => Math.round(ms * 1000);
const pathOf = ({ agent, parentAgent }: Step): string[] =>
  parentAgent === '' ? [agent] : [parentAgent, agent];

/** A span id for a step that has none, by its place. */
export const stepSpanId = (traceId: string, place: number): string =>
  recordSpanId(traceId, 'step', String(place));

function textOfRole(messages: readonly Message[], role: string): string {
  return messages
    .filter((message) => message.role === role)
    .flatMap(({ parts }) => parts)
    .flatMap(({ type, content }) =>
      type === 'text' && typeof content === 'string' && content !== '' ? [content] : [],
    )
    .join('\n');
}

const jsonOf = (values: object): string | null =>
  Object.keys(values).length === 0 ? null : JSON.stringify(values);

/** What nobody said is left out: absent is not 0. */
function present(values: Values): Attributes {
  const attributes = emptyAttributes();
  for (const [name, value] of Object.entries(values))
    if (value !== null && value !== undefined) attributes[name] = String(value);
  return attributes;
}
