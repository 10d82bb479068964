import { contentHash, inputHash } from '../records/normalize.ts';
import { A } from '../span/attributes.ts';
import { LIMITS } from '../span/limits.ts';
import type { Asked } from './asked.ts';
import type { Caller } from './identity.ts';
import { pathPattern } from './path-pattern.ts';
import { type AnswerFacts, type RequestFacts, toJson, type Usage } from './protocol.ts';
import type { ProviderTarget } from './provider.ts';
import { Attributes, type SpanDraft } from './record/span-draft.ts';
import { agentOf } from './runs.ts';
import type { TapResult } from './tap.ts';
import { readVerdict } from './verdict.ts';

/** A model call, or another request below a provider, as it is recorded. */
export interface CallRecord {
  asked: Asked;
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
  /** The call whose answer it got. */
  origin: { traceId: string; spanId: string } | undefined;
}

/** Characters of the hashes that stand for a prompt's or a tool list's version. */
const VERSION_CHARS = 12;

/** The span of a call. What is not known is not on it. */
export function callSpan(record: CallRecord): SpanDraft {
  const { asked } = record;
  const { caller, run, traceId, operation, request, route } = asked;
  const errorType = errorTypeOf(record);
  const attributes = new Attributes();
  attributes.add(A.loop, caller.loop);
  attributes.add(A.runId, run?.runId);
  attributes.add(A.registered, caller.definition !== undefined);
  attributes.add(A.record, operation ? 'call' : 'request');
  attributes.add(A.operation, operation?.name);
  attributes.add(A.provider, record.providerName);
  attributes.add(A.agentName, caller.agent);
  attributes.add(A.agentRole, caller.role);
  attributes.add(A.parentAgent, caller.parentAgent);
  if (asked.isNested) attributes.add(A.nestedAgent, true);
  attributes.add(A.conversationId, caller.conversationId ?? request?.conversationId);
  attributes.add(A.itemId, caller.itemId);
  if (caller.probe !== undefined) {
    attributes.add(A.probe, true);
    attributes.add(A.probeSuite, caller.probe);
    attributes.add(A.probeRunId, caller.runId);
  }
  attributes.add(A.serverAddress, record.endpoint.address);
  attributes.add(A.serverPort, record.endpoint.port);
  attributes.add(A.httpStatus, record.status);
  attributes.add(A.errorType, errorType);
  if (record.firstChunkNs !== undefined)
    attributes.add(A.timeToFirstChunk, Number(record.firstChunkNs - asked.startNs) / 1e9);
  if (record.attempts > 1) attributes.add(A.attempts, record.attempts);
  attributes.add(A.replayedTraceId, record.origin?.traceId);
  attributes.add(A.replayedSpanId, record.origin?.spanId);
  if (request) addRequest(attributes, caller, request);
  if (record.tap.answer) addAnswer(attributes, record, record.tap.answer, errorType);
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

function addRequest(attributes: Attributes, caller: Caller, request: RequestFacts): void {
  const { systemText, tools, userText } = request;
  const capture = captureOf(caller);
  attributes.add(A.requestModel, request.model);
  attributes.add(A.requestStream, request.stream);
  attributes.add(A.requestMaxTokens, request.maxTokens);
  attributes.add(A.requestTemperature, request.temperature);
  attributes.add(A.requestTopP, request.topP);
  attributes.add(A.requestSeed, request.seed);
  attributes.add(A.promptVersion, caller.promptVersion ?? versionOf(systemText));
  attributes.add(A.toolsVersion, caller.toolsVersion ?? versionOf(tools));
  if (capture !== 'off' && userText !== '') attributes.add(A.inputHash, inputHash(userText));
  addText(attributes, capture, userText, A.inputText, A.inputTextHash);
  if (capture === 'full') attributes.add(A.inputMessages, fitting(toJson(request.messages())));
}

function addAnswer(
  attributes: Attributes,
  { asked: { caller, request }, usage, costUsd }: CallRecord,
  answer: AnswerFacts,
  errorType: string | undefined,
): void {
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
  if (capture === 'full') attributes.add(A.outputMessages, fitting(toJson(answer.messages())));
  if (errorType === undefined) addVerdict(attributes, caller, answer, request);
}

/** The verdict in a checker's own answer, where the registry says how to read it. */
function addVerdict(
  attributes: Attributes,
  caller: Caller,
  answer: AnswerFacts,
  request: RequestFacts | undefined,
): void {
  if (caller.role !== 'checker') return;
  const rule = caller.definition?.agents.find((agent) => agent.name === caller.agent)?.verdict;
  const pass = rule && readVerdict(rule, answer.text);
  if (pass === undefined) return;
  attributes.add(A.verdictPass, pass);
  attributes.add(A.checkerName, caller.agent);
  attributes.add(A.checkerVersion, caller.promptVersion ?? versionOf(request?.systemText));
}

type Capture = 'off' | 'hashed' | 'full';

const captureOf = (caller: Caller): Capture => caller.definition?.capture ?? 'full';

/** An agent says the same system prompt with every call. */
const versions = new Map<string, string>();
const VERSIONS_MAX = 256;
const VERSION_TEXT_LENGTH_MAX = 256 * 1024;

function versionOf(text: string | undefined): string | undefined {
  if (!text) return undefined;
  const known = versions.get(text);
  if (known !== undefined) return known;
  const version = contentHash(text).slice(0, VERSION_CHARS);
  if (text.length <= VERSION_TEXT_LENGTH_MAX) {
    if (versions.size >= VERSIONS_MAX) versions.delete(versions.keys().next().value!);
    versions.set(text, version);
  }
  return version;
}

function addText(
  attributes: Attributes,
  capture: Capture,
  text: string,
  textName: string,
  hashName: string,
): void {
  if (capture === 'off' || text === '') return;
  const whole = capture === 'full' ? fitting(text) : undefined;
  if (whole === undefined) attributes.add(hashName, contentHash(text));
  else attributes.add(textName, whole);
}

/** Content that an attribute has room for; half a document would be read as a whole one. */
function fitting(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const { attributeValueBytesMax } = LIMITS;
  const mayBeLonger = 3 * text.length > attributeValueBytesMax;
  return mayBeLonger && Buffer.byteLength(text) > attributeValueBytesMax ? undefined : text;
}
