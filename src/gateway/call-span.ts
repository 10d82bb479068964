import { A } from '../span/attributes.ts';
import { LIMITS } from '../span/limits.ts';
import type { Asked } from './asked.ts';
import { addText, type Capture, captureOf, fitting } from './content-attributes.ts';
import type { Caller } from './identity.ts';
import { pathPattern } from './path-pattern.ts';
import { type AnswerFacts, toJson, type Usage } from './protocol.ts';
import type { ProviderTarget } from './provider.ts';
import type { SpanDraft } from './record/span-draft.ts';
import type { RequestPart } from './request-part.ts';
import { agentOf } from './runs.ts';
import type { TapResult } from './tap/tap.ts';
import { readVerdict } from './verdict.ts';
import { versionFor } from './versions.ts';

/** A model call, or another request below a provider, as it is recorded. */
export interface CallRecord {
  asked: Asked;
  part: RequestPart;
  /** `gen_ai.provider.name`, and where it was reached. */
  providerName: string;
  endpoint: ProviderTarget;
  endNs: bigint;
  /** When the first byte of the answer's body came. */
  firstChunkNs: bigint | undefined;
  status: number | undefined;
  /** What went wrong on the way; what the provider says of itself is in `tap`. */
  errorType: string | undefined;
  tap: TapResult;
  /** What it used and cost; `undefined` where nobody knows, and where it got the answer of another call. */
  usage: Usage | undefined;
  costUsd: number | undefined;
  attempts: number;
  /** When the pieces of a stream came, as the attribute has it. */
  pieces: string | undefined;
  /** The call whose answer it got. */
  origin: { traceId: string; spanId: string } | undefined;
}

/** The span of a call. What is not known is not on it. It takes the request's part over. */
export function callSpan(record: CallRecord): SpanDraft {
  const { asked } = record;
  const { caller, run, traceId, operation, request, route } = asked;
  const errorType = errorTypeOf(record);
  const { attributes, missing } = record.part;
  attributes.add(A.provider, record.providerName);
  attributes.add(A.serverAddress, record.endpoint.address);
  attributes.add(A.serverPort, record.endpoint.port);
  attributes.add(A.httpStatus, record.status);
  attributes.add(A.errorType, errorType);
  if (record.firstChunkNs !== undefined)
    attributes.add(A.timeToFirstChunk, Number(record.firstChunkNs - asked.startNs) / 1e9);
  if (record.attempts > 1) attributes.add(A.attempts, record.attempts);
  attributes.add(A.replayedTraceId, record.origin?.traceId);
  attributes.add(A.replayedSpanId, record.origin?.spanId);
  if (record.part.tools !== undefined && captureOf(caller) === 'full') addTools(record.part, run?.toolsTold);
  if (record.tap.answer) addAnswer(record, record.tap.answer, errorType);
  else if (record.tap.skipped)
    missing.output = record.tap.skipped === 'too_large' ? 'too_large' : 'not_recorded';
  if (request) addMissing(record.part, captureOf(caller));
  const name =
    operation === undefined
      ? `${asked.method} ${pathPattern(route.path)}`
      : `${operation.name} ${request?.model ?? ''}`.trimEnd();
  return {
    traceId,
    spanId: asked.spanId,
    parentSpanId: caller.remote?.spanId ?? (run && agentOf(run, caller.agent, caller.parentAgent)),
    traceState: caller.remote?.traceState,
    name: name.slice(0, LIMITS.nameLengthMax),
    kind: 'Client',
    startNs: asked.startNs,
    endNs: record.endNs,
    attributes,
    error: errorType,
  };
}

function errorTypeOf({ errorType, tap, status, asked }: CallRecord): string | undefined {
  // Some clients close the connection as soon as the stream says that it is over: they have the whole answer.
  const leftWithAll = errorType === 'client_disconnected' && asked.request?.stream && tap.answer?.complete;
  if (errorType !== undefined && !leftWithAll) return errorType;
  if (tap.errorType !== undefined) return tap.errorType;
  if (status !== undefined && status >= 400) return String(status);
  // The connection closed in good order, but the stream in it never said that it was over.
  return tap.answer && !tap.answer.complete ? 'stream_interrupted' : undefined;
}

/** Tools in full with the first of a run's calls that are offered the same, and where they are with the others. */
function addTools({ attributes, tools, missing }: RequestPart, told: Set<string> | undefined): void {
  const { list } = versionFor(tools!);
  if (told?.has(list)) {
    attributes.add(TOOLS_HASH, list);
    return;
  }
  const whole = fitting(tools);
  attributes.add(A.toolDefinitions, whole);
  if (whole === undefined) missing.tool_definitions = 'too_large';
  else if (told && told.size < TOOLS_TOLD_MAX) told.add(list);
}

/** The collector leaves this in the place of tool definitions. */
const TOOLS_HASH = `${A.contentHashes}.${A.toolDefinitions}`;
/** Tool lists that a run is remembered to have told; one with more tells the others each time. */
const TOOLS_TOLD_MAX = 32;

function addAnswer(
  { asked: { caller }, part, usage, costUsd, pieces }: CallRecord,
  answer: AnswerFacts,
  errorType: string | undefined,
): void {
  const { attributes, missing } = part;
  const { finishReasons } = answer;
  const capture = captureOf(caller);
  attributes.add(A.responseId, answer.id);
  attributes.add(A.responseModel, answer.model);
  if (finishReasons.length > 0) attributes.add(A.finishReasons, finishReasons);
  if (usage) {
    attributes.add(A.inputTokens, usage.inputTokens);
    attributes.add(A.outputTokens, usage.outputTokens);
    attributes.add(A.cacheReadTokens, usage.cacheReadTokens);
    attributes.add(A.cacheWriteTokens, usage.cacheWriteTokens);
    attributes.add(A.reasoningTokens, usage.reasoningTokens);
  }
  attributes.add(A.costUsd, costUsd);
  addText(attributes, capture, answer.text, A.outputText, A.outputTextHash);
  attributes.add(A.streamPieces, pieces);
  if (capture === 'full') {
    const messages = fitting(toJson(answer.messages()));
    attributes.add(A.outputMessages, messages);
    if (messages === undefined) missing.output = 'too_large';
  }
  if (errorType === undefined) addVerdict(part, caller, answer);
}

/** The verdict in a checker's own answer, where the registry says how to read it. */
function addVerdict({ attributes, promptVersion }: RequestPart, caller: Caller, answer: AnswerFacts): void {
  if (caller.role !== 'checker') return;
  const rule = caller.definition?.agents.find((agent) => agent.name === caller.agent)?.verdict;
  const pass = rule && readVerdict(rule, answer.text);
  if (pass === undefined) return;
  attributes.add(A.verdictPass, pass);
  attributes.add(A.checkerName, caller.agent);
  attributes.add(A.checkerVersion, promptVersion);
}

const NOTHING_CAPTURED = JSON.stringify({ input: 'not_captured', output: 'not_captured' });
const NOTHING_NOR_TOOLS = JSON.stringify({
  input: 'not_captured',
  output: 'not_captured',
  tool_definitions: 'not_captured',
});

function addMissing({ attributes, missing, tools }: RequestPart, capture: Capture): void {
  if (capture !== 'full')
    attributes.add(A.missing, tools === undefined ? NOTHING_CAPTURED : NOTHING_NOR_TOOLS);
  else if (Object.keys(missing).length > 0) attributes.add(A.missing, JSON.stringify(missing));
}
