import type { ModelCall } from '../../recording.ts';
import type { FreshCall } from '../ports.ts';
import type { Api } from './wire.ts';

/**
 * Sampling and limits: by their GenAI names in a recording, by each API's own in a request. What an API has no word for is
 * not sent.
 */
type Parameters = ModelCall['parameters'];

const NAMES: readonly (readonly [name: string, fields: Readonly<Partial<Record<Api, string>>>])[] = [
  ['temperature', { chat_completions: 'temperature', responses: 'temperature', messages: 'temperature' }],
  ['top_p', { chat_completions: 'top_p', responses: 'top_p', messages: 'top_p' }],
  ['top_k', { messages: 'top_k' }],
  ['max_tokens', { chat_completions: 'max_tokens', responses: 'max_output_tokens', messages: 'max_tokens' }],
  ['seed', { chat_completions: 'seed' }],
  ['frequency_penalty', { chat_completions: 'frequency_penalty' }],
  ['presence_penalty', { chat_completions: 'presence_penalty' }],
];

/** Those that tell calls apart: what every reader of requests and of records writes alike. */
export const COMPARED: ReadonlySet<string> = new Set(NAMES.map(([name]) => name));

/** Anthropic's API refuses a call that sets none. */
const MAX_TOKENS_DEFAULT = 4_096;

/** The fields of a request body for a call's parameters. */
export function parametersFor(
  api: Api,
  { parameters, provider }: Pick<FreshCall, 'parameters' | 'provider'>,
): object {
  const fields: Record<string, unknown> = {};
  for (const [name, byApi] of NAMES) {
    const field = byApi[api];
    if (field !== undefined && parameters[name] !== undefined) fields[field] = parameters[name];
  }
  const stop = listOf(parameters['stop_sequences']);
  if (stop.length > 0 && api === 'chat_completions') fields['stop'] = stop;
  if (stop.length > 0 && api === 'messages') fields['stop_sequences'] = stop;
  const effort = parameters['reasoning.level'];
  if (typeof effort === 'string') Object.assign(fields, EFFORT[api](effort));
  const choice = parameters['tool_choice'];
  if (typeof choice === 'string') fields['tool_choice'] = TOOL_CHOICE[api](choice);
  // Of a schema only that there was one is on record.
  const format = parameters['response_format'];
  if (format === 'json_object' && api === 'chat_completions') fields['response_format'] = { type: format };
  if (format === 'json_object' && api === 'responses') fields['text'] = { format: { type: format } };
  // OpenAI's newer models know only the newer name; who is compatible with OpenAI often only the older.
  if (api === 'chat_completions' && provider === 'openai' && fields['max_tokens'] !== undefined) {
    fields['max_completion_tokens'] = fields['max_tokens'];
    delete fields['max_tokens'];
  }
  if (api === 'messages') fields['max_tokens'] ??= MAX_TOKENS_DEFAULT;
  return fields;
}

const EFFORT: Record<Api, (effort: string) => object> = {
  chat_completions: (reasoning_effort) => ({ reasoning_effort }),
  responses: (effort) => ({ reasoning: { effort } }),
  messages: (effort) => ({ output_config: { effort } }),
};

/** A word, or the name of the tool that is to be called. */
const TOOL_CHOICE: Record<Api, (choice: string) => unknown> = {
  chat_completions: (choice) => openaiWord(choice) ?? { type: 'function', function: { name: choice } },
  responses: (choice) => openaiWord(choice) ?? { type: 'function', name: choice },
  messages: (choice) =>
    choice === 'required'
      ? { type: 'any' }
      : ['auto', 'any', 'none'].includes(choice)
        ? { type: choice }
        : { type: 'tool', name: choice },
};

const openaiWord = (choice: string): string | undefined =>
  choice === 'any' ? 'required' : ['auto', 'none', 'required'].includes(choice) ? choice : undefined;

/** The parameters that a request body names. */
export function readParameters(api: Api, body: Readonly<Record<string, unknown>>): Parameters {
  const found: Record<string, string | number | boolean> = {};
  for (const [name, byApi] of NAMES) {
    const field = byApi[api];
    const value =
      name === 'max_tokens' && api === 'chat_completions'
        ? (body['max_completion_tokens'] ?? body['max_tokens'])
        : field && body[field];
    if (typeof value === 'number' && Number.isFinite(value)) found[name] = value;
  }
  return found;
}

/** A list of words, as it is kept: JSON, or the one word. */
function listOf(value: unknown): string[] {
  if (typeof value !== 'string' || value === '') return [];
  try {
    const list = JSON.parse(value) as unknown;
    if (Array.isArray(list)) return list.filter((word) => typeof word === 'string');
  } catch {}
  return [value];
}
