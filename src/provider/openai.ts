import type { Answer } from './answers.ts';
import { type Dialect, type Frame, isObject, pieces, readShared } from './dialect.ts';

/** OpenAI's chat completions API. */
export const openai: Dialect = {
  requestIdHeader: 'x-request-id',

  read(body) {
    const options = body['stream_options'];
    return { ...readShared(body), streamUsage: isObject(options) && options['include_usage'] === true };
  },

  document: (answer) => ({
    ...head(answer, 'chat.completion'),
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: answer.text, refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    ...usage(answer),
  }),

  stream(answer, question) {
    const base = head(answer, 'chat.completion.chunk');
    // With usage asked for, every chunk before the last says that it has none yet.
    const pending = question.streamUsage ? { usage: null } : {};
    const choice = (delta: object, finish_reason: 'stop' | null) => ({
      ...base,
      choices: [{ index: 0, delta, logprobs: null, finish_reason }],
      ...pending,
    });
    return [
      frame(choice({ role: 'assistant', content: '', refusal: null }, null)),
      ...pieces(answer.text).map((content) => frame(choice({ content }, null), true)),
      frame(choice({}, 'stop')),
      ...(question.streamUsage && usage(answer) ? [frame({ ...base, choices: [], ...usage(answer) })] : []),
      { text: 'data: [DONE]\n\n', waits: false },
    ];
  },

  error: ({ code, message }) => ({ error: { message, type: 'invalid_request_error', param: null, code } }),

  models: (models) => ({
    object: 'list',
    data: models.map(({ id, createdS }) => ({
      id,
      object: 'model',
      created: createdS,
      owned_by: 'recorded',
    })),
  }),
};

const head = (answer: Answer, object: string) => ({
  id: `chatcmpl-${answer.id}`,
  object,
  created: answer.createdS,
  model: answer.servedModel,
});

/** Usage as OpenAI reports it; nothing where the record does not know both sides. */
function usage({ inputTokens, outputTokens }: Answer): { usage: object } | undefined {
  if (inputTokens === undefined || outputTokens === undefined) return undefined;
  return {
    usage: {
      prompt_tokens: inputTokens,
      completion_tokens: outputTokens,
      total_tokens: inputTokens + outputTokens,
    },
  };
}

const frame = (chunk: object, waits = false): Frame => ({
  text: `data: ${JSON.stringify(chunk)}\n\n`,
  waits,
});
