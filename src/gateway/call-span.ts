import type { Attributes } from '@opentelemetry/api';
import { contentHash, inputHash } from '../records/normalize.ts';
import { A } from '../span/attributes.ts';
import { agentSpanId } from '../span/ids.ts';
import { LIMITS } from '../span/limits.ts';
import type { Caller } from './identity.ts';
import { costUsd } from './price.ts';
import { type AnswerFacts, type RequestFacts, toJson } from './protocol.ts';
import type { ProviderTarget } from './provider.ts';
import type { CallRoute } from './route.ts';
import { agentPath, type OpenRun, runAttributes } from './runs.ts';
import type { TapResult } from './tap.ts';
import type { SpanDraft } from './tracing.ts';
import { readVerdict } from './verdict.ts';

/** A model call, or another request below a provider, as it is recorded. */
export interface CallRecord {
  method: string;
  route: CallRoute;
  operation: 'chat' | undefined;
  caller: Caller;
  /** `undefined` for a request that is no model call and came while no run was open. */
  run: OpenRun | undefined;
  /** The caller's trace where it brought one, else the run's. */
  traceId: string;
  spanId: string;
  target: ProviderTarget;
  /** `undefined` for what is not a model call. */
  request: RequestFacts | undefined;
  startNs: bigint;
  endNs: bigint;
  endMs: number;
  /** When the first byte of the answer's body came. */
  firstChunkNs: bigint | undefined;
  status: number | undefined;
  /** What went wrong on the way; what the provider says of itself is in `tap`. */
  errorType: string | undefined;
  tap: TapResult;
}

/** Characters of the hashes that stand for a prompt's or a tool list's version. */
const VERSION_CHARS = 12;

/** The span of a call. What is not known is not on it. */
export function callSpan(record: CallRecord): SpanDraft {
  const { caller, run, traceId, spanId, operation, request, route } = record;
  const errorType = errorTypeOf(record);
  const attributes: Attributes = {
    ...(run
      ? runAttributes(run)
      : { [A.loop]: caller.loop, [A.registered]: caller.definition !== undefined }),
    [A.record]: operation ? 'call' : 'request',
    [A.operation]: operation,
    [A.provider]: route.protocol.provider,
    [A.agentName]: caller.agent,
    [A.agentRole]: caller.role,
    [A.parentAgent]: caller.parentAgent,
    [A.conversationId]: caller.conversationId,
    [A.itemId]: caller.itemId,
    [A.serverAddress]: record.target.address,
    [A.serverPort]: record.target.port,
    [A.httpStatus]: record.status,
    [A.errorType]: errorType,
    [A.timeToFirstChunk]:
      record.firstChunkNs === undefined ? undefined : Number(record.firstChunkNs - record.startNs) / 1e9,
  };
  if (request) Object.assign(attributes, requestAttributes(caller, request));
  if (record.tap.answer) Object.assign(attributes, answerAttributes(record, record.tap.answer, errorType));
  const name =
    operation === undefined
      ? `${record.method} ${route.path || '/'}`
      : `${operation} ${request?.model ?? ''}`.trimEnd();
  return {
    traceId,
    spanId,
    parentSpanId:
      caller.remote?.spanId ?? (run && agentSpanId(traceId, agentPath(caller.agent, caller.parentAgent))),
    traceState: caller.remote?.traceState,
    name: name.slice(0, LIMITS.nameLengthMax),
    kind: 'Client',
    startNs: record.startNs,
    endNs: record.endNs,
    attributes,
    error: errorType,
  };
}

function errorTypeOf({ errorType, tap, status, request }: CallRecord): string | undefined {
  // Some clients close the connection as soon as the stream says that it is over: they have the whole answer.
  const leftWithAll = errorType === 'client_disconnected' && request?.stream && tap.answer?.complete;
  if (errorType !== undefined && !leftWithAll) return errorType;
  if (tap.errorType !== undefined) return tap.errorType;
  if (status !== undefined && status >= 400) return String(status);
  // The connection closed in good order, but the stream in it never said that it was over.
  return tap.answer && !tap.answer.complete ? 'stream_interrupted' : undefined;
}

function requestAttributes(caller: Caller, request: RequestFacts): Attributes {
  const { systemText, tools, userText } = request;
  const capture = captureOf(caller);
  return {
    [A.requestModel]: request.model,
    [A.requestStream]: request.stream,
    [A.requestMaxTokens]: request.maxTokens,
    [A.requestTemperature]: request.temperature,
    [A.requestTopP]: request.topP,
    [A.requestSeed]: request.seed,
    [A.promptVersion]: caller.promptVersion ?? versionOf(systemText),
    [A.toolsVersion]: caller.toolsVersion ?? versionOf(tools),
    [A.inputHash]: capture !== 'off' && userText !== '' ? inputHash(userText) : undefined,
    ...textAttributes(capture, userText, A.inputText, A.inputTextHash),
    [A.inputMessages]: capture === 'full' ? fitting(toJson(request.messages())) : undefined,
  };
}

function answerAttributes(
  { caller, route, request, endMs }: CallRecord,
  answer: AnswerFacts,
  errorType: string | undefined,
): Attributes {
  const { usage } = answer;
  const capture = captureOf(caller);
  return {
    [A.responseId]: answer.id,
    [A.responseModel]: answer.model,
    [A.finishReasons]: answer.finishReasons.length > 0 ? answer.finishReasons : undefined,
    [A.inputTokens]: usage.inputTokens,
    [A.outputTokens]: usage.outputTokens,
    [A.cacheReadTokens]: usage.cacheReadTokens,
    [A.cacheWriteTokens]: usage.cacheWriteTokens,
    [A.reasoningTokens]: usage.reasoningTokens,
    [A.costUsd]: costUsd(route.protocol.provider, answer.model ?? request?.model, usage, endMs),
    ...textAttributes(capture, answer.text, A.outputText, A.outputTextHash),
    [A.outputMessages]: capture === 'full' ? fitting(toJson(answer.messages())) : undefined,
    ...(errorType === undefined && verdictAttributes(caller, answer, request)),
  };
}

/** The verdict in a checker's own answer, where the registry says how to read it. */
function verdictAttributes(
  caller: Caller,
  answer: AnswerFacts,
  request: RequestFacts | undefined,
): Attributes | undefined {
  const rule = caller.definition?.agents.find((agent) => agent.name === caller.agent)?.verdict;
  if (!rule || caller.role !== 'checker') return undefined;
  const pass = readVerdict(rule, answer.text);
  if (pass === undefined) return undefined;
  return {
    [A.verdictPass]: pass,
    [A.checkerName]: caller.agent,
    [A.checkerVersion]: caller.promptVersion ?? versionOf(request?.systemText),
  };
}

type Capture = 'off' | 'hashed' | 'full';

const captureOf = (caller: Caller): Capture => caller.definition?.capture ?? 'full';

const versionOf = (text: string | undefined): string | undefined =>
  text ? contentHash(text).slice(0, VERSION_CHARS) : undefined;

function textAttributes(capture: Capture, text: string, textName: string, hashName: string): Attributes {
  if (capture === 'off' || text === '') return {};
  const whole = capture === 'full' ? fitting(text) : undefined;
  return whole === undefined ? { [hashName]: contentHash(text) } : { [textName]: whole };
}

/** Content that an attribute has room for; half a document would be read as a whole one. */
const fitting = (text: string | undefined): string | undefined =>
  text !== undefined && Buffer.byteLength(text) <= LIMITS.attributeValueBytesMax ? text : undefined;
