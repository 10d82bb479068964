import { contentHash, inputHash } from '../records/normalize.ts';
import { A, REPLAY_RECORD_PREFIX } from '../span/attributes.ts';
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
  /** When the pieces of a stream came, as the attribute has it. */
  pieces: string | undefined;
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
  const kind = operation ? 'call' : 'request';
  attributes.add(A.record, caller.replay === undefined ? kind : `${REPLAY_RECORD_PREFIX}${kind}`);
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
  if (caller.replay !== undefined) {
    attributes.add(A.replayRunId, caller.replay);
    attributes.add(A.replayOf, caller.runId);
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
  const missing: Missing = {};
  if (request) addRequest(attributes, asked, request, missing);
  if (record.tap.answer) addAnswer(attributes, record, record.tap.answer, errorType, missing);
  else if (record.tap.skipped)
    missing.output = record.tap.skipped === 'too_large' ? 'too_large' : 'not_recorded';
  addMissing(attributes, captureOf(caller), request, missing);
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

function addRequest(
  attributes: Attributes,
  { caller, operation, route, run }: Asked,
  request: RequestFacts,
  missing: Missing,
): void {
  const { systemText, tools, userText } = request;
  const capture = captureOf(caller);
  attributes.add(A.api, operation?.apiType ?? (route.protocol.api === 'anthropic' ? 'messages' : undefined));
  attributes.add(A.requestModel, request.model);
  attributes.add(A.requestStream, request.stream);
  attributes.add(A.requestMaxTokens, request.maxTokens);
  attributes.add(A.requestTemperature, request.temperature);
  attributes.add(A.requestTopP, request.topP);
  attributes.add(A.requestTopK, request.topK);
  attributes.add(A.requestFrequencyPenalty, request.frequencyPenalty);
  attributes.add(A.requestPresencePenalty, request.presencePenalty);
  attributes.add(A.requestSeed, request.seed);
  attributes.add(A.requestChoices, request.choices);
  attributes.add(A.requestStopSequences, request.stop);
  attributes.add(A.requestReasoning, request.reasoning);
  attributes.add(A.requestResponseFormat, request.responseFormat);
  attributes.add(A.requestToolChoice, request.toolChoice);
  attributes.add(A.promptVersion, caller.promptVersion ?? versionOf(systemText));
  attributes.add(A.toolsVersion, caller.toolsVersion ?? versionOf(tools));
  if (capture !== 'off' && userText !== '') attributes.add(A.inputHash, inputHash(userText));
  addText(attributes, capture, userText, A.inputText, A.inputTextHash);
  if (capture !== 'full') return;
  const messages = fitting(toJson(request.messages()));
  attributes.add(A.inputMessages, messages);
  if (messages === undefined) missing.input = 'too_large';
  // What the provider keeps of the conversation never came this way.
  else if (request.previousResponseId ?? request.conversationId) missing.input = 'kept_by_provider';
  if (tools !== undefined) addTools(attributes, tools, run?.toolsTold, missing);
}

/** Tools in full with the first of a run's calls that are offered the same, and where they are with the others. */
function addTools(
  attributes: Attributes,
  tools: string,
  told: Set<string> | undefined,
  missing: Missing,
): void {
  const { list } = versionFor(tools);
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
  attributes: Attributes,
  { asked: { caller, request }, usage, costUsd, pieces }: CallRecord,
  answer: AnswerFacts,
  errorType: string | undefined,
  missing: Missing,
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
  attributes.add(A.streamPieces, pieces);
  if (capture === 'full') {
    const messages = fitting(toJson(answer.messages()));
    attributes.add(A.outputMessages, messages);
    if (messages === undefined) missing.output = 'too_large';
  }
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

/** Content that is not on the span, and why. */
type Missing = Partial<Record<'input' | 'output' | 'tool_definitions', string>>;

const NOTHING_CAPTURED = JSON.stringify({ input: 'not_captured', output: 'not_captured' });
const NOTHING_NOR_TOOLS = JSON.stringify({
  input: 'not_captured',
  output: 'not_captured',
  tool_definitions: 'not_captured',
});

function addMissing(
  attributes: Attributes,
  capture: Capture,
  request: RequestFacts | undefined,
  missing: Missing,
): void {
  if (request === undefined) return;
  if (capture !== 'full')
    attributes.add(A.missing, request.tools === undefined ? NOTHING_CAPTURED : NOTHING_NOR_TOOLS);
  else if (Object.keys(missing).length > 0) attributes.add(A.missing, JSON.stringify(missing));
}

/** An agent says the same system prompt with every call, and is offered the same tools. */
interface Version {
  version: string;
  /** The hash of it all, as the list that a span has in its place. */
  list: string;
}
const versions = new Map<string, Version>();
const VERSIONS_MAX = 256;
const VERSION_TEXT_LENGTH_MAX = 256 * 1024;

const versionOf = (text: string | undefined): string | undefined =>
  text ? versionFor(text).version : undefined;

function versionFor(text: string): Version {
  const known = versions.get(text);
  if (known !== undefined) return known;
  const hash = contentHash(text);
  const made = { version: hash.slice(0, VERSION_CHARS), list: JSON.stringify([hash]) };
  if (text.length <= VERSION_TEXT_LENGTH_MAX) {
    if (versions.size >= VERSIONS_MAX) versions.delete(versions.keys().next().value!);
    versions.set(text, made);
  }
  return made;
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
