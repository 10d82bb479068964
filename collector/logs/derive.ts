import { A } from '../../src/span/attributes.ts';
import { agentSpanId, recordSpanId, runTraceId } from '../../src/span/ids.ts';
import { LIMITS } from '../../src/span/limits.ts';
import type { Attributes, Span } from '../../src/span/span.ts';
import { cutText } from '../admit/cut.ts';
import type { FindLoop } from '../admit/normalize.ts';
import { type AgentEvent, type CodingAgent, eventOf } from './agents.ts';
import { isTraced } from './names.ts';
import type { LogRecord } from './record.ts';

/** A log record that was admitted, and the coding agent that sent it. */
export interface AgentRecord {
  record: LogRecord;
  agent: CodingAgent;
}

/**
 * The spans that coding agents' events stand for: a call each request to a model, a tool call each tool's result. Ids
 * follow from the loop, the session and the event alone, so that the same event again is the same span.
 *
 * An agent that sends its spans itself (an event that was recorded inside a sampled span says so) gets none: its calls
 * would be counted twice. Limits: where those spans go elsewhere, nothing is counted here, and Claude Code's do not say
 * what a call cost. A session stays open, since no agent says when it ends. Prompts and answers are events of their own
 * and reach their call only when they come in one request with it.
 */
export function deriveSpans(records: readonly AgentRecord[], findLoop: FindLoop | undefined): Span[] {
  const texts = new Texts();
  const spans: Span[] = [];
  for (const each of records) {
    const event = eventOf(each.agent, each.record.eventName, each.record.attributes);
    if (event?.kind === 'prompt') texts.prompt(each);
    if (event?.kind === 'answer') texts.answer(each);
  }
  for (const { record, agent } of records) {
    const event = eventOf(agent, record.eventName, record.attributes);
    if (event?.kind !== 'call' && event?.kind !== 'tool') continue;
    if (isTraced(record) || !record.attributes[A.loop] || !record.attributes[A.runId]) continue;
    const span = spanOf(record, agent, event, findLoop);
    if (event.kind === 'call') texts.addTo(span.attributes, agent);
    spans.push(span);
  }
  return spans;
}

function spanOf(
  record: LogRecord,
  agent: CodingAgent,
  event: AgentEvent,
  findLoop: FindLoop | undefined,
): Span {
  const { timeNs, source, eventName } = record;
  const attributes: Attributes = Object.assign(Object.create(null), record.attributes);
  const loop = attributes[A.loop]!;
  const run = attributes[A.runId]!;
  const traceId = runTraceId(loop, run);
  const known = findLoop?.(loop);
  if (findLoop) attributes[A.registered] = String(known !== undefined);
  const name = attributes[A.agentName]!;
  const isSub = name !== agent.name;
  const path = isSub ? [agent.name, name] : [name];
  if (isSub) attributes[A.parentAgent] ??= agent.name;
  attributes[A.agentRole] ??= known?.agents.find((a) => a.name === name)?.role ?? (isSub ? 'sub' : 'maker');
  if (event.kind === 'call') attributes[A.record] = 'call';
  attributes[A.operation] ??= event.kind === 'call' ? 'chat' : 'execute_tool';
  const failed = event.failed?.(attributes) ?? false;
  if (failed) attributes[A.errorType] ??= errorType(attributes);
  const what = event.kind === 'call' ? attributes[A.requestModel] : attributes[A.toolName];
  return {
    traceId,
    spanId: recordSpanId(traceId, eventName, String(timeNs), ...KEYS.map((key) => attributes[key] ?? '')),
    parentSpanId: agentSpanId(traceId, path),
    traceState: '',
    name: cutText(`${attributes[A.operation]} ${what ?? ''}`.trim(), LIMITS.spanNameBytesMax),
    kind: event.kind === 'call' ? 'Client' : 'Internal',
    // An event is recorded when what it tells of is over.
    startNs: timeNs > durationNs(attributes) ? timeNs - durationNs(attributes) : 0n,
    endNs: timeNs,
    statusCode: failed ? 'Error' : 'Unset',
    statusMessage: failed ? cutText(messageOf(attributes), LIMITS.spanNameBytesMax) : '',
    resource: source.resource.attributes,
    scopeName: source.scope.name,
    scopeVersion: source.scope.version,
    attributes,
    events: [],
    links: [],
  };
}

/** What tells events of one kind at one time apart. */
const KEYS = [
  'event.sequence',
  'event.kind',
  'prompt.id',
  'prompt_id',
  'request_id',
  'attempt',
  A.toolCallId,
  A.toolName,
  A.inputTokens,
  A.outputTokens,
] as const;

function durationNs(attributes: Attributes): bigint {
  const ms = attributes['duration_ms'] ?? '';
  return /^\d{1,12}(\.\d+)?$/.test(ms) ? BigInt(Math.round(Number(ms) * 1e6)) : 0n;
}

/** The conventions' word for an error of which nothing is known is `_OTHER`. */
const errorType = (a: Attributes): string =>
  a['error_type'] || a[A.httpStatus] || (a['error.type'] ?? '') || '_OTHER';

const messageOf = (a: Attributes): string => a['error'] ?? a['error.message'] ?? '';

/** What was asked and answered, by what ties it to a call. */
class Texts {
  private readonly prompts = new Map<string, Attributes>();
  private readonly answers = new Map<string, Attributes>();

  prompt({ record, agent }: AgentRecord): void {
    this.prompts.set(promptKey(record.attributes, agent), record.attributes);
  }

  answer({ record }: AgentRecord): void {
    const request = record.attributes['request_id'];
    if (request) this.answers.set(request, record.attributes);
  }

  addTo(attributes: Attributes, agent: CodingAgent): void {
    copy(this.prompts.get(promptKey(attributes, agent)), attributes, [A.inputHash, A.inputTextHash]);
    copy(this.answers.get(attributes['request_id'] ?? ''), attributes, [A.outputTextHash]);
  }
}

const promptKey = (attributes: Attributes, { session }: CodingAgent): string =>
  JSON.stringify([attributes[session], attributes['prompt.id'] ?? attributes['prompt_id']]);

function copy(from: Attributes | undefined, to: Attributes, names: readonly string[]): void {
  for (const name of names) {
    const value = from?.[name];
    if (value !== undefined) to[name] ??= value;
  }
}
