import type { RecordedCall } from '../../src/store/probes.ts';
import type { ProbeRequest } from './settings.ts';
import { type Json, placeholdersIn, templateVersion } from './template.ts';

/**
 * A request modelled on what an agent really asked: the first call it made in its newest run, with its model, its
 * limits and sampling, and its messages, in which
 *
 * - for the maker, the one message of the user is replaced whole by the golden input;
 * - for the checker, the run's answer, which stands exactly once in what the user's messages say, is replaced by the answer
 *   to be judged, and the run's input, where it stands there exactly once, by the golden input.
 *
 * Two such requests count as the same when they differ at most in what the system says, and the loop gives that the same
 * prompt version: a prompt with the date in it keeps its version where the loop names one (`x-loop-prompt-version`).
 *
 * Only what is known for certain is asked again. Where something is not (content that was not kept, tools, whose
 * definitions are not recorded, images, places that are not clear), nothing is sent and the reason is told.
 */
export type Modelled =
  | { outcome: 'modelled'; path: string; request: ProbeRequest; version: string }
  | { outcome: 'impossible'; reason: string };

interface Said {
  role: string;
  text: string;
}

const ROLES = new Set(['system', 'developer', 'user', 'assistant']);

/** The maker's request with a place for the input. */
export function makerRequest(call: RecordedCall): Modelled {
  const said = messagesOf(call);
  if (typeof said === 'string') return impossible(call, said);
  const users = said.filter(({ role }) => role === 'user');
  if (users.length !== 1)
    return impossible(
      call,
      `it has ${users.length} messages of the user, and it takes one to know the input by`,
    );
  return requestOf(
    call,
    said.map((message) => (message === users[0] ? { ...message, text: '{{input}}' } : message)),
  );
}

/** The checker's request with a place for the output, and for the input where that is shown to it. */
export function checkerRequest(call: RecordedCall): Modelled {
  const { makerInput, makerOutput } = call;
  const said = messagesOf(call);
  if (typeof said === 'string') return impossible(call, said);
  if (makerOutput === undefined) return impossible(call, "the maker's answer in that run was not kept");
  const shown = said.filter(({ role }) => role === 'user');
  if (times(shown, makerOutput) !== 1)
    return impossible(
      call,
      `the maker's answer stands ${times(shown, makerOutput)} times in what it was told, and it takes one to know the place by`,
    );
  const hasOutput = replace(said, makerOutput, '{{output}}');
  const isShown = makerInput !== undefined && makerInput !== makerOutput;
  const hasBoth =
    isShown && times(hasOutput.filter(isUsers), makerInput) === 1
      ? replace(hasOutput, makerInput, '{{input}}')
      : hasOutput;
  // An input inside of the answer goes with it.
  const places = placeholdersIn(hasBoth.map(({ text }) => text));
  return requestOf(call, places.has('output') ? hasBoth : hasOutput);
}

const isUsers = ({ role }: Said) => role === 'user';

const times = (said: readonly Said[], text: string): number =>
  text === '' ? 0 : said.reduce((sum, message) => sum + message.text.split(text).length - 1, 0);

const replace = (said: readonly Said[], text: string, place: string): Said[] =>
  said.map((message) =>
    isUsers(message) ? { ...message, text: message.text.split(text).join(place) } : message,
  );

const impossible = ({ runId }: RecordedCall, reason: string): Modelled => ({
  outcome: 'impossible',
  reason: `The recorded call of run ${runId} cannot be asked again: ${reason}. Write \`request\` in the suite instead.`,
});

/** What was said, or in words why that is not known. */
function messagesOf({ messages, toolsVersion, model, responseId }: RecordedCall): Said[] | string {
  if (model === '') return 'it names no model';
  if (toolsVersion !== '') return 'it has tools, and what they are is not recorded';
  if (responseId.startsWith('resp_')) return 'it was asked through the Responses API, which keeps state';
  if (messages.length === 0) return 'what it said was not kept (capture: full keeps it)';
  const said: Said[] = [];
  for (const message of messages) {
    const one = message === undefined ? undefined : saidIn(message);
    if (message === undefined) return 'what it said is not kept any more';
    if (one === undefined) return 'it says more than text, such as images or the results of tools';
    said.push(one);
  }
  if (placeholdersIn(said.map(({ text }) => text)).size > 0)
    return 'it has {{input}} or {{output}} in its own text';
  return said;
}

/** A message of text alone, as the GenAI conventions write it. */
function saidIn(json: string): Said | undefined {
  let message: unknown;
  try {
    message = JSON.parse(json);
  } catch {
    return undefined;
  }
  const { role, parts } = (message ?? {}) as { role?: unknown; parts?: unknown };
  if (typeof role !== 'string' || !ROLES.has(role) || !Array.isArray(parts)) return undefined;
  const texts = parts.map((part: { type?: unknown; content?: unknown } | null) =>
    part?.type === 'text' && typeof part.content === 'string' ? part.content : undefined,
  );
  return texts.includes(undefined) || texts.length === 0 ? undefined : { role, text: texts.join('\n') };
}

/** The body for the API that the call was made through. */
function requestOf(call: RecordedCall, said: readonly Said[]): Modelled {
  const { model, maxTokens, temperature, topP, seed, provider, promptVersion } = call;
  const given = <T>(field: string, value: T | null) => (value === null ? {} : { [field]: value });
  const sampling = { ...given('temperature', temperature), ...given('top_p', topP) };
  const messages = said.map(({ role, text }) => ({ role, content: text }));
  const system = messages.filter(({ role }) => role === 'system');
  const others = messages.filter(({ role }) => role !== 'system');
  if (provider === 'anthropic') {
    if (maxTokens === null) return impossible(call, 'how long its answer may be was not recorded');
    const said = system.length > 0 && { system: system.map(({ content }) => content).join('\n') };
    const request = { model, max_tokens: maxTokens, ...sampling, messages: others };
    return modelled('/v1/messages', { ...request, ...said }, { ...request, promptVersion });
  }
  if (provider !== 'openai')
    return impossible(call, `which path leads to the provider "${provider}" is not recorded`);
  const request = {
    model,
    ...given('max_completion_tokens', maxTokens),
    ...sampling,
    ...given('seed', seed),
  };
  return modelled(
    '/v1/chat/completions',
    { ...request, messages },
    { ...request, messages: others, promptVersion },
  );
}

const modelled = (path: string, request: ProbeRequest, sameness: Json): Modelled => ({
  outcome: 'modelled',
  path,
  request,
  version: templateVersion(path, sameness),
});
