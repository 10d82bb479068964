import { z } from 'zod';

/** What the two APIs make of a question to a judge and of its answer: the only things in which they differ. */
export interface Dialect {
  path: string;
  headers(key: string | undefined): Record<string, string>;
  /** The request's body. */
  body(question: JudgeQuestion): object;
  /** Reads the response's body; an answer that is none of this API's is `malformed`. */
  read(body: unknown): JudgeAnswer;
}

export interface JudgeQuestion {
  model: string;
  system: string;
  messages: readonly { role: 'user' | 'assistant'; content: string }[];
  /** What the verdict must look like. */
  schema: Record<string, unknown>;
  temperature: number | null;
}

export type JudgeAnswer =
  | (Used & { outcome: 'answered'; text: string })
  | (Used & { outcome: 'refused'; why: string })
  | (Used & { outcome: 'cut_short' })
  | { outcome: 'malformed' };

interface Used {
  model: string;
  inputTokens: number;
  outputTokens: number;
}

/** Reasoning counts too, where a model reasons. */
const ANSWER_TOKENS_MAX = 8_192;
/** Any; the same for all questions, so that the same question gets the same answer where the API can do that. */
const SEED = 1;
const VERDICT = 'verdict';

const tokens = z.number().int().min(0).catch(0);

const ChatCompletion = z.object({
  model: z.string().catch(''),
  choices: z.array(
    z.object({
      finish_reason: z.string().nullish(),
      message: z.object({ content: z.string().nullish(), refusal: z.string().nullish() }),
    }),
  ),
  usage: z.object({ prompt_tokens: tokens, completion_tokens: tokens }).nullish(),
});

export const openai: Dialect = {
  path: '/chat/completions',
  headers: (key) => ({ ...(key !== undefined && { authorization: `Bearer ${key}` }) }),
  body: ({ model, system, messages, schema, temperature }) => ({
    model,
    messages: [{ role: 'system', content: system }, ...messages],
    response_format: { type: 'json_schema', json_schema: { name: VERDICT, strict: true, schema } },
    max_completion_tokens: ANSWER_TOKENS_MAX,
    seed: SEED,
    ...(temperature !== null && { temperature }),
  }),
  read: (body) => {
    const parsed = ChatCompletion.safeParse(body);
    const choice = parsed.data?.choices[0];
    if (!parsed.success || !choice) return { outcome: 'malformed' };
    const { message, finish_reason } = choice;
    const { model, usage } = parsed.data;
    const used = {
      model,
      inputTokens: usage?.prompt_tokens ?? 0,
      outputTokens: usage?.completion_tokens ?? 0,
    };
    if (message.refusal) return { outcome: 'refused', why: message.refusal, ...used };
    if (finish_reason === 'content_filter')
      return { outcome: 'refused', why: 'a content filter stepped in', ...used };
    if (finish_reason === 'length') return { outcome: 'cut_short', ...used };
    return { outcome: 'answered', text: message.content ?? '', ...used };
  },
};

const Message = z.object({
  model: z.string().catch(''),
  stop_reason: z.string().nullish(),
  content: z.array(
    z.object({ type: z.string(), text: z.string().optional(), input: z.unknown().optional() }),
  ),
  usage: z
    .object({
      input_tokens: tokens,
      output_tokens: tokens,
      cache_read_input_tokens: tokens,
      cache_creation_input_tokens: tokens,
    })
    .nullish(),
});

export const anthropic: Dialect = {
  path: '/v1/messages',
  headers: (key) => ({ 'anthropic-version': '2023-06-01', ...(key !== undefined && { 'x-api-key': key }) }),
  body: ({ model, system, messages, schema, temperature }) => ({
    model,
    system,
    messages,
    tools: [{ name: VERDICT, description: 'Gives your verdict.', input_schema: schema }],
    tool_choice: { type: 'tool', name: VERDICT, disable_parallel_tool_use: true },
    max_tokens: ANSWER_TOKENS_MAX,
    ...(temperature !== null && { temperature }),
  }),
  read: (body) => {
    const parsed = Message.safeParse(body);
    if (!parsed.success) return { outcome: 'malformed' };
    const { model, stop_reason, content, usage } = parsed.data;
    const used = {
      model,
      inputTokens: usage
        ? usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens
        : 0,
      outputTokens: usage?.output_tokens ?? 0,
    };
    if (stop_reason === 'refusal')
      return { outcome: 'refused', why: textOf(content) || 'it gave no reason', ...used };
    if (stop_reason === 'max_tokens' || stop_reason === 'model_context_window_exceeded')
      return { outcome: 'cut_short', ...used };
    const call = content.find(({ type }) => type === 'tool_use');
    return {
      outcome: 'answered',
      text: call ? JSON.stringify(call.input ?? null) : textOf(content),
      ...used,
    };
  },
};

const textOf = (content: readonly { text?: string | undefined }[]) =>
  content.map(({ text }) => text ?? '').join('');
