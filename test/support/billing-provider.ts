import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { namedSse, sse } from './scripted-provider.ts';

/**
 * A provider that keeps books: what it said of each answer's usage, priced in whole nano-dollars, so that sums of ten
 * thousand are exact. It refuses some calls, breaks some off before an answer, and answers in pieces.
 */
export interface Booked {
  api: 'chat' | 'responses' | 'messages';
  loop: string;
  agent: string;
  run: string;
  /** As it was served. */
  model: string;
  /** All of it, what was read from and written to a cache included. */
  inputTokens: number;
  outputTokens: number;
  nanoUsd: number;
  /** Whether usage was part of the answer: of a chat's stream it is where it was asked for. */
  tellsUsage: boolean;
  /** How far the answer came: whether the piece with its usage was written, and the last one. */
  state: 'begun' | 'told' | 'finished';
}

/** Nano-dollars a token. */
interface Price {
  input: number;
  cacheRead: number;
  cacheWrite: number;
  output: number;
}

export const PRICES: Record<string, Price> = {
  'm-large': { input: 2_500, cacheRead: 1_250, cacheWrite: 2_500, output: 10_000 },
  'm-small': { input: 150, cacheRead: 75, cacheWrite: 150, output: 600 },
  'm-claude': { input: 3_000, cacheRead: 300, cacheWrite: 3_750, output: 15_000 },
};

/** The same as settings. */
export const priceSettings = Object.entries(PRICES).map(([model, price]) => ({
  model: `${model}*`,
  input_usd_per_mtok: price.input / 1_000,
  cached_input_usd_per_mtok: price.cacheRead / 1_000,
  cache_write_usd_per_mtok: price.cacheWrite / 1_000,
  output_usd_per_mtok: price.output / 1_000,
}));

interface Request {
  model: string;
  stream?: boolean;
  stream_options?: { include_usage?: boolean };
  input?: string;
  messages?: { content: string }[];
}

/** Of all requests, those that are refused or broken off before there is an answer. */
const FAILING_SHARE = 0.08;
const CONTENT_PIECES_MAX = 8;

export class BillingProvider {
  /** By the answer's id. */
  readonly books = new Map<string, Booked>();
  requests = 0;
  failures = 0;
  readonly #random: () => number;
  readonly #server = createServer((incoming, response) => {
    void this.#serve(incoming, response).catch(() => response.destroy());
  });

  constructor(random: () => number) {
    this.#random = random;
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    this.requests++;
    if (this.#random() < FAILING_SHARE) {
      this.failures++;
      this.#fail(response);
      return;
    }
    const body = JSON.parse(String(Buffer.concat(chunks))) as Request;
    const path = incoming.url ?? '';
    const api = path.endsWith('/responses') ? 'responses' : path.endsWith('/messages') ? 'messages' : 'chat';
    const id = `answer-${this.books.size}`;
    const { booked, usage } = this.#book(api, body);
    this.books.set(id, booked);
    const { before, telling, last } = ANSWERS[api](id, booked, usage, body.stream === true, this.#pieces());
    response.writeHead(200, {
      'content-type': body.stream ? 'text/event-stream' : 'application/json',
    });
    for (const piece of before) {
      response.write(piece);
      await delay(this.#random() * 3);
      if (response.destroyed) return;
    }
    response.write(telling);
    booked.state = 'told';
    if (this.#random() < 0.5) await delay(1);
    if (response.destroyed) return;
    response.end(last, () => {
      booked.state = 'finished';
    });
  }

  #fail(response: ServerResponse): void {
    const kind = this.#random();
    if (kind < 0.3) {
      response.destroy();
      return;
    }
    response.writeHead(kind < 0.6 ? 503 : 429, { 'content-type': 'application/json', 'retry-after-ms': '1' });
    response.end(JSON.stringify({ error: { message: 'not now', type: 'overloaded_error' } }));
  }

  #pieces(): string[] {
    return Array.from(
      { length: 1 + Math.floor(this.#random() * CONTENT_PIECES_MAX) },
      (_, n) => `piece ${n} `,
    );
  }

  #book(api: Booked['api'], body: Request): { booked: Booked; usage: UsageParts } {
    const count = (max: number) => Math.floor(this.#random() * max);
    const [loop, agent, run] = (body.input ?? body.messages![0]!.content).split('/') as [
      string,
      string,
      string,
    ];
    const usage = {
      fresh: 1 + count(4_000),
      cacheRead: count(2) * count(3_000),
      cacheWrite: api === 'messages' ? count(2) * count(2_000) : 0,
      output: 1 + count(2_000),
    };
    const price = PRICES[body.model]!;
    const booked: Booked = {
      api,
      loop,
      agent,
      run,
      model: `${body.model}-2026-10`,
      inputTokens: usage.fresh + usage.cacheRead + usage.cacheWrite,
      outputTokens: usage.output,
      nanoUsd:
        usage.fresh * price.input +
        usage.cacheRead * price.cacheRead +
        usage.cacheWrite * price.cacheWrite +
        usage.output * price.output,
      tellsUsage: api !== 'chat' || !body.stream || body.stream_options?.include_usage === true,
      state: 'begun',
    };
    return { booked, usage };
  }
}

interface UsageParts {
  fresh: number;
  cacheRead: number;
  cacheWrite: number;
  output: number;
}

/** An answer in pieces: what comes before its usage, what tells it, and what comes last. */
interface Pieces {
  before: string[];
  telling: string;
  last: string;
}

const ANSWERS: Record<
  Booked['api'],
  (id: string, booked: Booked, usage: UsageParts, stream: boolean, words: string[]) => Pieces
> = { chat, responses, messages };

/** In three pieces, the usage in the second one. */
function whole(answer: object): Pieces {
  const text = JSON.stringify(answer);
  const at = Math.floor(text.length / 3);
  return { before: [text.slice(0, at)], telling: text.slice(at, -1), last: text.slice(-1) };
}

function chat(
  id: string,
  { model, tellsUsage }: Booked,
  parts: UsageParts,
  stream: boolean,
  words: string[],
): Pieces {
  const prompt = parts.fresh + parts.cacheRead;
  const usage = {
    prompt_tokens: prompt,
    completion_tokens: parts.output,
    total_tokens: prompt + parts.output,
    prompt_tokens_details: { cached_tokens: parts.cacheRead },
  };
  if (!stream) {
    const choice = {
      index: 0,
      message: { role: 'assistant', content: words.join('') },
      finish_reason: 'stop',
    };
    return whole({ id, object: 'chat.completion', model, choices: [choice], usage });
  }
  const chunk = (choices: object[], more: object = {}) =>
    sse({ id, object: 'chat.completion.chunk', model, choices, ...more });
  return {
    before: [
      ...words.map((content) => chunk([{ index: 0, delta: { content }, finish_reason: null }])),
      chunk([{ index: 0, delta: {}, finish_reason: 'stop' }]),
    ],
    telling: tellsUsage ? chunk([], { usage }) : ': nothing\n\n',
    last: sse('[DONE]'),
  };
}

function responses(
  id: string,
  { model }: Booked,
  parts: UsageParts,
  stream: boolean,
  words: string[],
): Pieces {
  const input = parts.fresh + parts.cacheRead;
  const text = words.join('');
  const answer = {
    id,
    object: 'response',
    status: 'completed',
    model,
    output: [{ type: 'message', role: 'assistant', content: [{ type: 'output_text', text }] }],
    usage: {
      input_tokens: input,
      input_tokens_details: { cached_tokens: parts.cacheRead },
      output_tokens: parts.output,
      total_tokens: input + parts.output,
    },
  };
  if (!stream) return whole(answer);
  return {
    before: [
      namedSse({
        type: 'response.created',
        response: { ...answer, status: 'in_progress', output: [], usage: null },
      }),
      ...words.map((delta) => namedSse({ type: 'response.output_text.delta', output_index: 0, delta })),
    ],
    telling: namedSse({ type: 'response.completed', response: answer }),
    last: '',
  };
}

function messages(
  id: string,
  { model }: Booked,
  parts: UsageParts,
  stream: boolean,
  words: string[],
): Pieces {
  const input = {
    input_tokens: parts.fresh,
    cache_read_input_tokens: parts.cacheRead,
    cache_creation_input_tokens: parts.cacheWrite,
  };
  const message = {
    id,
    type: 'message',
    role: 'assistant',
    model,
    stop_reason: 'end_turn',
    stop_sequence: null,
  };
  if (!stream)
    return whole({
      ...message,
      content: [{ type: 'text', text: words.join('') }],
      usage: { ...input, output_tokens: parts.output },
    });
  return {
    before: [
      namedSse({
        type: 'message_start',
        message: { ...message, content: [], stop_reason: null, usage: { ...input, output_tokens: 1 } },
      }),
      namedSse({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
      ...words.map((text) =>
        namedSse({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }),
      ),
      namedSse({ type: 'content_block_stop', index: 0 }),
    ],
    telling: namedSse({
      type: 'message_delta',
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { output_tokens: parts.output },
    }),
    last: namedSse({ type: 'message_stop' }),
  };
}
