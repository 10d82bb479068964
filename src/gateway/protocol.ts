import { LIMITS } from '../span/limits.ts';

/**
 * What the gateway knows of an API that providers speak: which requests are calls of a model, how to read a call,
 * its answer and its stream, and how to word an error so that the calling SDK understands it. Reading is lenient:
 * whatever is not there stays `undefined`, and nothing that a stranger sends makes it throw.
 */
export type Api = 'openai' | 'anthropic';

export interface Protocol {
  readonly api: Api;
  /**
   * How to read the model call that a request is, by its path below the provider's base. `undefined` for every other
   * request: lists of models, counts of tokens, files and batches pass through unread.
   */
  operation(method: string, path: string): Operation | undefined;
  /** Headers in which a caller's own key travels, lower case; the gateway's key goes into the first. */
  readonly keyHeaders: readonly string[];
  /** Value of the first of them for a key. */
  keyHeaderValue(key: string): string;
  /** `error.type` of an error body, where it says one. */
  readError(body: unknown): string | undefined;
  /** An error of the gateway itself, as this API words errors. */
  errorBody(error: GatewayError): object;
}

export const ANSWER_END_BYTES = 4_096;

/** One kind of call. */
export interface Operation {
  /** `gen_ai.operation.name` */
  readonly name: 'chat' | 'text_completion' | 'embeddings';
  /** `openai.api.type`, which tells OpenAI's two chats apart. */
  readonly apiType?: 'chat_completions' | 'responses';
  readRequest(body: unknown): RequestFacts;
  readContent(body: unknown): RequestContent;
  readAnswer(body: unknown): AnswerFacts;
  /** The same from the first and last `ANSWER_END_BYTES` of an answer too large to be parsed, where they tell enough. */
  readEnds?(first: string, last: string): AnswerFacts;
  /** Follows a stream event by event; of all its content together no more than `textCharsMax` is kept. */
  readStream(textCharsMax: number): StreamReader;
  /** Whether an event of a stream says nothing yet: no text, no call of a tool, no error and no end. */
  isOpening?(data: string): boolean;
}

export interface GatewayError {
  status: number;
  /** Stable code, see src/errors.ts. */
  code: string;
  message: string;
}

/** An event that brought a piece of text and nothing else. */
export interface Delta {
  piece: string;
  /** Events like it came, and this text in their pieces. */
  more(text: string, events: number): void;
}

export interface StreamReader {
  /** The data of the next event. Tells of it where all that it brought is a piece of text. */
  event(data: string): Delta | undefined;
  /** Names under which such a piece stands. */
  readonly textKeys: readonly string[];
  /** Whether the event that ends the stream was read, be it an error. More bytes may still follow. */
  readonly isOver: boolean;
  /** Characters of the answer that came so far, as far as they are kept. */
  readonly textChars: number;
  /** What is known so far. */
  facts(): AnswerFacts;
  /** The event, as bytes will be, that tells the caller's SDK in place of the rest that the stream broke. */
  errorEvent(error: GatewayError): string;
}

/** A message as the GenAI conventions write it. */
export interface Message {
  role: string;
  parts: Part[];
  finish_reason?: string;
}

export type Part = { type: string } & Record<string, unknown>;

/** What a request asks for. */
export interface RequestFacts {
  model?: string;
  stream?: boolean;
  maxTokens?: number;
  /** How many answers are asked for, where it says; each may have `maxTokens`. */
  choices?: number;
  temperature?: number;
  topP?: number;
  topK?: number;
  frequencyPenalty?: number;
  presencePenalty?: number;
  seed?: number;
  stop?: readonly string[];
  /** How much it is to think: low, medium, high, … */
  reasoning?: string;
  /** What kind of answer is asked for: text, json_object, json_schema, … */
  responseFormat?: string;
  /** auto, none, required, any, or the name of the tool that is to be called. */
  toolChoice?: string;
  /** The conversation that the provider keeps, and the answer that this call goes on from. */
  conversationId?: string;
  previousResponseId?: string;
}

/** What a request says: of no use on the way to the provider, and the larger part of it. */
export interface RequestContent {
  systemText: string;
  /** Text of all messages in the user's role; tool results are not the user's. */
  userText: string;
  /** Tool definitions as JSON. */
  tools?: string;
  /** System and conversation, made only when asked for. */
  messages(): Message[];
}

/** Token counts. What the provider did not say is `undefined`, never 0. */
export interface Usage {
  /** All input tokens, those read from and written to a cache included. */
  inputTokens?: number;
  /** All output tokens, those of reasoning included. */
  outputTokens?: number;
  cacheReadTokens?: number;
  cacheWriteTokens?: number;
  /** The part of `cacheWriteTokens` written for an hour, which costs more. */
  cacheWrite1hTokens?: number;
  reasoningTokens?: number;
  /** The parts of input and output that were audio. */
  inputAudioTokens?: number;
  outputAudioTokens?: number;
  /** Searches of the web or of stored files that the provider ran and bills one by one. */
  webSearches?: number;
  fileSearches?: number;
  /** The tier that served the call, where it is not the standard one: its prices are others. */
  serviceTier?: string;
}

export interface AnswerFacts {
  id?: string;
  /** The model that really answered. */
  model?: string;
  /** `openai.response.system_fingerprint`: changes with what the model runs on. */
  systemFingerprint?: string;
  finishReasons: string[];
  usage: Usage;
  /** Plain text of the (first) answer. */
  text: string;
  messages(): Message[];
  /** Whether the answer said that it was over. */
  complete: boolean;
  /** An error told in the middle of a stream. */
  errorType?: string;
}

export type Json = Record<string, unknown>;

export const asObject = (value: unknown): Json | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;

export const asArray = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

export const asString = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

export const asNumber = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined;

/** Sequences at which a model is to stop: one, or a list; `undefined` for more, or longer ones, than any API takes. */
export function asStop(value: unknown): string[] | undefined {
  const all = typeof value === 'string' ? [value] : asArray(value);
  const texts = all.filter((text) => typeof text === 'string' && text.length <= STOP_LENGTH_MAX);
  return all.length === 0 || all.length > STOPS_MAX || texts.length < all.length
    ? undefined
    : (texts as string[]);
}
const STOPS_MAX = 64;
const STOP_LENGTH_MAX = 1_000;

/** A word such as `auto`; `undefined` for what is too long to be one. */
export const asWord = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' && value.length <= LIMITS.nameLengthMax ? value : undefined;

/** A token count, or `undefined` for what cannot be one. */
export const asCount = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;

/** A JSON object, or `undefined` for anything else: a provider may send what it likes. */
export function parseObject(text: string): Json | undefined {
  try {
    return asObject(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** A value as JSON, or `undefined` where it is nested too deep to be written: reading has no such bound. */
export function toJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

/** Choices, blocks or tool calls that are followed in one stream; one that opens more is not a model's. */
const OPEN_MAX = 1024;

/** The entry of `key`, made when it is new; `undefined` past the limit. */
export function entry<V>(map: Map<number, V>, key: number, make: () => V): V | undefined {
  let value = map.get(key);
  if (value === undefined && map.size < OPEN_MAX) {
    value = make();
    map.set(key, value);
  }
  return value;
}
