import type { Answer } from './answers.ts';
import { type Dialect, type Frame, pieces, readShared } from './dialect.ts';

/** Anthropic's messages API. */
export const anthropic: Dialect = {
  requestIdHeader: 'request-id',

  read: (body) => ({ ...readShared(body), streamUsage: true }),

  document: (answer) => ({
    ...head(answer),
    content: [{ type: 'text', text: answer.text }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: usage(answer.inputTokens, answer.outputTokens),
  }),

  stream(answer) {
    // Usage in a stream is cumulative: what is written so far at the start, the whole at the end.
    const started = answer.outputTokens === undefined ? undefined : Math.min(1, answer.outputTokens);
    const message = {
      ...head(answer),
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: usage(answer.inputTokens, started),
    };
    return [
      frame('message_start', { message }),
      frame('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
      ...pieces(answer.text).map((text) =>
        frame('content_block_delta', { index: 0, delta: { type: 'text_delta', text } }, true),
      ),
      frame('content_block_stop', { index: 0 }),
      frame('message_delta', {
        delta: { stop_reason: 'end_turn', stop_sequence: null },
        usage: usage(answer.inputTokens, answer.outputTokens),
      }),
      frame('message_stop', {}),
    ];
  },

  error: ({ status, code, message }) => ({
    type: 'error',
    error: { type: errorTypes[status] ?? 'invalid_request_error', message, code },
  }),

  models: (models) => ({
    data: models.map(({ id, createdS }) => ({
      type: 'model',
      id,
      display_name: id,
      created_at: new Date(createdS * 1000).toISOString(),
    })),
    has_more: false,
    first_id: models.at(0)?.id ?? null,
    last_id: models.at(-1)?.id ?? null,
  }),
};

/** This API tells errors apart by type; `code` is an extra field. */
const errorTypes: Record<number, string> = { 404: 'not_found_error', 413: 'request_too_large' };

const head = (answer: Answer) => ({
  id: `msg_${answer.id}`,
  type: 'message',
  role: 'assistant',
  model: answer.servedModel,
});

/** The object is always there, since the SDK reaches into it; a count the record does not know is not. */
const usage = (input_tokens: number | undefined, output_tokens: number | undefined) => ({
  input_tokens,
  output_tokens,
});

const frame = (event: string, data: object, waits = false): Frame => ({
  text: `event: ${event}\ndata: ${JSON.stringify({ type: event, ...data })}\n\n`,
  waits,
});
