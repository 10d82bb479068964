import type { Answer, RecordedModel } from './answers.ts';

/** What a provider's API makes of a question and an answer: the only things in which the two APIs differ. */
export interface Dialect {
  /** Reads a request body. Throws `RequestError` when it is not one of this API. */
  read(body: Record<string, unknown>): Question;
  /** The answer as one JSON document. */
  document(answer: Answer): unknown;
  /** The answer as server-sent events, each a complete frame. */
  stream(answer: Answer, question: Question): Frame[];
  /** An error body. */
  error(failure: Failure): unknown;
  /** The list of models. */
  models(models: readonly RecordedModel[]): unknown;
  /** Header that carries the id of a request. */
  requestIdHeader: string;
}

export interface Question {
  model: string;
  /** Text of all user messages, joined by line feeds; what tools returned is not in it. */
  userText: string;
  stream: boolean;
  /** Whether the caller asked for token usage in a stream (OpenAI). */
  streamUsage: boolean;
}

/** One server-sent event; `waits` marks those over which the latency is spread. */
export interface Frame {
  text: string;
  waits: boolean;
}

/** What went wrong, before it takes an API's own shape. */
export interface Failure {
  status: number;
  /** `model_not_found`, `prompt_not_recorded`, `invalid_request`, `request_too_large` or `not_found`. */
  code: string;
  message: string;
}

/** A request that its API would refuse; the message says what was expected. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
}

/** The fields that both APIs share: model, stream and the user's text. */
export function readShared(body: Record<string, unknown>): Omit<Question, 'streamUsage'> {
  const { model, messages, stream } = body;
  if (typeof model !== 'string' || model === '')
    throw new RequestError(`"model" must be the name of a model, not ${JSON.stringify(model) ?? 'missing'}.`);
  if (!Array.isArray(messages))
    throw new RequestError('"messages" must be a list of messages, each with "role" and "content".');
  return { model, stream: stream === true, userText: messages.flatMap(userTexts).join('\n') };
}

function userTexts(message: unknown): string[] {
  if (!isObject(message))
    throw new RequestError('each entry of "messages" must be an object with "role" and "content".');
  if (message['role'] !== 'user') return [];
  const content = message['content'];
  if (typeof content === 'string') return [content];
  if (!Array.isArray(content))
    throw new RequestError('the "content" of a message must be text or a list of content parts.');
  const texts = content
    .filter((part) => isObject(part) && part['type'] === 'text')
    .map((part) => part['text']);
  return texts.filter((text) => typeof text === 'string');
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Cuts text into pieces of up to `wordsMax` words as a model streams them. Joined they are the text again. */
export function pieces(text: string, wordsMax = 3): string[] {
  const words = text.match(/\s*\S+\s*$|\s*\S+|\s+/g) ?? [];
  const cut: string[] = [];
  for (let i = 0; i < words.length; i += wordsMax) cut.push(words.slice(i, i + wordsMax).join(''));
  return cut;
}
