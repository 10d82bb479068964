import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A provider on loopback that answers with exactly the bytes a test gives it, when the test says so. */
export interface ScriptedProvider {
  url: string;
  /** Requests so far, as they came. */
  requests: ProviderRequest[];
  /** What the next requests get, each once, in order; after that `fallback`. */
  next(...answers: Answer[]): void;
  fallback: Answer;
  close(): Promise<void>;
}

export interface ProviderRequest {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  rawHeaders: string[];
  body: Buffer;
  /** Whether the caller went away before the answer was complete. */
  hungUp: boolean;
}

export type Answer = (response: ServerResponse, request: ProviderRequest) => void | Promise<void>;

export async function startScriptedProvider(fallback: Answer): Promise<ScriptedProvider> {
  const queue: Answer[] = [];
  const requests: ProviderRequest[] = [];
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const { method = '', url = '', headers, rawHeaders } = incoming;
    const request = { method, url, headers, rawHeaders, body: Buffer.concat(chunks), hungUp: false };
    requests.push(request);
    response.on('close', () => {
      request.hungUp = !response.writableFinished;
    });
    await (queue.shift() ?? provider.fallback)(response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const provider: ScriptedProvider = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    fallback,
    next: (...answers) => void queue.push(...answers),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return provider;
}

/** Answers with JSON. */
export const json =
  (body: object, status = 200, headers: Record<string, string> = {}): Answer =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  };

/** Answers with a stream whose chunks are given; a function among them is waited for. */
export const stream =
  (...script: (string | Buffer | (() => Promise<unknown>))[]): Answer =>
  async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    for (const step of script) {
      if (typeof step === 'function') await step();
      else response.write(step);
    }
    response.end();
  };

/** As `stream`, but the connection breaks where the script ends. */
export const brokenStream =
  (...chunks: string[]): Answer =>
  (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const chunk of chunks) response.write(chunk);
    setImmediate(() => response.destroy());
  };

export const sse = (...events: (object | string)[]): string =>
  events.map((e) => `data: ${typeof e === 'string' ? e : JSON.stringify(e)}\n\n`).join('');

/** Anthropic names each event. */
export const namedSse = (...events: ({ type: string } & Record<string, unknown>)[]): string =>
  events.map((e) => `event: ${e.type}\ndata: ${JSON.stringify(e)}\n\n`).join('');

export const chatCompletion = (text: string, more: Record<string, unknown> = {}) => ({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'gpt-4o-2024-08-06',
  choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
  usage: {
    prompt_tokens: 1000,
    completion_tokens: 100,
    total_tokens: 1100,
    prompt_tokens_details: { cached_tokens: 400 },
    completion_tokens_details: { reasoning_tokens: 30 },
  },
  ...more,
});

export const chatChunk = (delta: object, finishReason: string | null = null, more: object = {}) => ({
  id: 'chatcmpl-2',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'gpt-4o-2024-08-06',
  choices: [{ index: 0, delta, finish_reason: finishReason }],
  ...more,
});

export const anthropicMessage = (text: string, more: Record<string, unknown> = {}) => ({
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude-sonnet-4-20250514',
  content: [{ type: 'text', text }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: {
    input_tokens: 500,
    cache_read_input_tokens: 400,
    cache_creation_input_tokens: 100,
    output_tokens: 100,
  },
  ...more,
});

/** The events of an Anthropic answer, with a ping among them as they come in practice. */
export const anthropicEvents = (pieces: string[]): string =>
  namedSse(
    {
      type: 'message_start',
      message: {
        ...anthropicMessage(''),
        id: 'msg_2',
        content: [],
        stop_reason: null,
        usage: {
          input_tokens: 500,
          cache_read_input_tokens: 400,
          cache_creation_input_tokens: 100,
          output_tokens: 1,
        },
      },
    },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'ping' },
    ...pieces.map((text) => ({
      type: 'content_block_delta',
      index: 0,
      delta: { type: 'text_delta', text },
    })),
    { type: 'content_block_stop', index: 0 },
    {
      type: 'message_delta',
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { output_tokens: 100 },
    },
    { type: 'message_stop' },
  );
