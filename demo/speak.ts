import type { FleetCall } from './fleet.ts';

/** Requests as the two APIs want them, and the text of their answers, streamed or not. */

export interface Asked {
  path: string;
  headers: Record<string, string>;
  body: object;
}

const MAX_TOKENS = 1024;

/** The body that asks `input`. */
export function requestBody(
  call: Pick<FleetCall, 'protocol' | 'model' | 'stream' | 'system'>,
  input: string,
): object {
  const user = { role: 'user', content: input };
  const { model, stream, system } = call;
  if (call.protocol === 'anthropic')
    return { model, max_tokens: MAX_TOKENS, stream, ...(system && { system }), messages: [user] };
  return {
    model,
    stream,
    ...(stream && { stream_options: { include_usage: true } }),
    messages: [...(system ? [{ role: 'system', content: system }] : []), user],
  };
}

interface OpenAIAnswer {
  choices?: { message?: { content?: string | null }; delta?: { content?: string | null } }[];
}
interface AnthropicAnswer {
  type?: string;
  content?: { text?: string }[];
  delta?: { text?: string };
}

/** The text of a whole answer. Throws when it is not one, or when a stream broke off; `what` names it then. */
export function readAnswer(call: Pick<FleetCall, 'protocol' | 'stream'>, body: string, what: string): string {
  const fail = (why: string) => new Error(`${what}: ${why}: ${body.slice(0, 500)}`);
  const parse = <T>(json: string): T => {
    try {
      return JSON.parse(json) as T;
    } catch {
      throw fail('expected JSON');
    }
  };
  if (!call.stream) {
    const text =
      call.protocol === 'openai'
        ? parse<OpenAIAnswer>(body).choices?.[0]?.message?.content
        : parse<AnthropicAnswer>(body)
            .content?.map((block) => block.text ?? '')
            .join('');
    if (typeof text !== 'string') throw fail('expected an answer with text');
    return text;
  }
  const data = body.split('\n').flatMap((line) => (line.startsWith('data: ') ? [line.slice(6)] : []));
  if (call.protocol === 'openai') {
    if (data.pop() !== '[DONE]') throw fail('the stream broke off before [DONE]');
    return data.map((json) => parse<OpenAIAnswer>(json).choices?.[0]?.delta?.content ?? '').join('');
  }
  const events = data.map((json) => parse<AnthropicAnswer>(json));
  if (events.at(-1)?.type !== 'message_stop') throw fail('the stream broke off before message_stop');
  return events
    .map((event) => (event.type === 'content_block_delta' ? (event.delta?.text ?? '') : ''))
    .join('');
}
