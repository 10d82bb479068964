import type { Overrides } from './overrides.ts';
import { parametersFor } from './wire/parameters.ts';
import type { Api } from './wire/wire.ts';

type Json = Record<string, unknown>;

/** A loop's own request with what is to be other than it was. What the loop says besides stays as it is. */
export function patched(api: Api, body: Json, overrides: Overrides, provider: string): Json {
  const { model, prompt, parameters, tools } = overrides;
  const next: Json = { ...body };
  if (model !== undefined) next['model'] = model;
  if (tools !== undefined) next['tools'] = JSON.parse(tools) as unknown;
  if (parameters !== undefined) {
    const { max_tokens: _, ...fields } = parametersFor(api, { parameters, provider }) as Json;
    Object.assign(next, fields);
    if (api === 'messages' && parameters['max_tokens'] !== undefined)
      next['max_tokens'] = parameters['max_tokens'];
  }
  if (prompt !== undefined) Object.assign(next, PROMPTS[api](body, prompt));
  return next;
}

/** Where each API has the words of the system. */
const PROMPTS: Record<Api, (body: Json, prompt: string) => Json> = {
  chat_completions: (body, content) => ({
    messages: [{ role: 'system', content }, ...notSystem(body['messages'])],
  }),
  responses: (body, instructions) => ({
    instructions,
    ...(Array.isArray(body['input']) && { input: notSystem(body['input']) }),
  }),
  messages: (_, system) => ({ system }),
};

const notSystem = (messages: unknown): unknown[] =>
  (Array.isArray(messages) ? (messages as unknown[]) : []).filter((message) => {
    const role = (message as { role?: unknown } | null)?.role;
    return role !== 'system' && role !== 'developer';
  });
