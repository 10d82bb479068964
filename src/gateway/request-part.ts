import { inputHash } from '../records/normalize.ts';
import { A, REPLAY_RECORD_PREFIX } from '../span/attributes.ts';
import type { Asked } from './asked.ts';
import { addText, captureOf, fitting, type Missing } from './content-attributes.ts';
import type { Caller } from './identity.ts';
import { type RequestContent, type RequestFacts, toJson } from './protocol.ts';
import { Attributes } from './record/span-draft.ts';
import { versionOf } from './versions.ts';

/** What a call's span says that is known as soon as it is on its way: most of it, and made while the provider works. */
export interface RequestPart {
  attributes: Attributes;
  /** Tool definitions as JSON. */
  tools: string | undefined;
  promptVersion: string | undefined;
  missing: Missing;
}

/** Reads all that a request says. Throws bugs only. */
export function requestPart(asked: Asked): RequestPart {
  const { caller, run, operation, request, json } = asked;
  const attributes = new Attributes();
  attributes.add(A.loop, caller.loop);
  attributes.add(A.runId, run?.runId);
  attributes.add(A.registered, caller.definition !== undefined);
  const kind = operation ? 'call' : 'request';
  attributes.add(A.record, caller.replay === undefined ? kind : `${REPLAY_RECORD_PREFIX}${kind}`);
  attributes.add(A.operation, operation?.name);
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
  const part: RequestPart = { attributes, tools: undefined, promptVersion: undefined, missing: {} };
  if (operation && request) {
    addRequest(attributes, asked, request);
    addContent(part, caller, request, operation.readContent(json));
  }
  return part;
}

function addRequest(attributes: Attributes, { operation, route }: Asked, request: RequestFacts): void {
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
}

function addContent(part: RequestPart, caller: Caller, request: RequestFacts, content: RequestContent): void {
  const { attributes, missing } = part;
  const { systemText, tools, userText } = content;
  const capture = captureOf(caller);
  part.tools = tools;
  part.promptVersion = caller.promptVersion ?? versionOf(systemText);
  attributes.add(A.promptVersion, part.promptVersion);
  attributes.add(A.toolsVersion, caller.toolsVersion ?? versionOf(tools));
  if (capture !== 'off' && userText !== '') attributes.add(A.inputHash, inputHash(userText));
  addText(attributes, capture, userText, A.inputText, A.inputTextHash);
  if (capture !== 'full') return;
  const messages = fitting(toJson(content.messages()));
  attributes.add(A.inputMessages, messages);
  if (messages === undefined) missing.input = 'too_large';
  // What the provider keeps of the conversation never came this way.
  else if (request.previousResponseId ?? request.conversationId) missing.input = 'kept_by_provider';
}
