import { errorBody, readError } from './anthropic/errors.ts';
import { isMessageOpening, MessageStream } from './anthropic/message-stream.ts';
import { readAnswer, readContent, readRequest } from './anthropic/messages.ts';
import type { Operation, Protocol } from './protocol.ts';

/** Anthropic's messages. */
const messages: Operation = {
  name: 'chat',
  readRequest,
  readContent,
  readAnswer,
  readStream: (textCharsMax) => new MessageStream(textCharsMax),
  isOpening: isMessageOpening,
};

/** Anthropic's API. Counting tokens and batches are no calls: nothing is answered, or not now. */
export const anthropic: Protocol = {
  api: 'anthropic',
  operation: (method, path) => (method === 'POST' && path === '/v1/messages' ? messages : undefined),
  keyHeaders: ['x-api-key', 'authorization'],
  keyHeaderValue: (key) => key,
  readError,
  errorBody,
};
