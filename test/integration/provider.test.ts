import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { request } from 'undici';
import type { Clock } from '../../src/clock.ts';
import { systemClock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { type RecordedProvider, startRecordedProvider } from '../../src/provider/server.ts';
import type { RunRecord } from '../../src/records/record.ts';

const record = (fields: Partial<RunRecord>): RunRecord => ({
  loop: 'primes',
  run: 'r-1',
  ts: '2023-06-27T09:00:00Z',
  model: 'gpt-4',
  served_model: 'gpt-4-0613',
  input: 'Is 17077 a prime number?',
  output: 'It is not divisible by 2, 3, 5 or 7.\n\nSo: [Yes]',
  input_tokens: 40,
  output_tokens: 14,
  ...fields,
});

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

const RECORDS = [
  record({}),
  record({ input: 'twice', output: 'first', served_model: 'gpt-4-0314' }),
  record({ input: 'twice', output: 'second' }),
  record({ input: 'no usage', input_tokens: undefined, output_tokens: undefined }),
  record({ input: 'as asked', served_model: undefined }),
  record({ input: 'never answered', output: undefined }),
  record({ input: 'empty', output: '' }),
  record({ model: 'claude-sonnet', served_model: 'claude-sonnet-4-5-20250929' }),
  record({ model: 'claude-sonnet', input: 'no usage', input_tokens: undefined, output_tokens: undefined }),
];

let provider: RecordedProvider;
let openai: OpenAI;
let anthropic: Anthropic;

before(async () => {
  provider = await startRecordedProvider({ records: RECORDS, port: 0, latency: 0 });
  openai = new OpenAI({ baseURL: `${provider.url}/v1`, apiKey: 'any', maxRetries: 0 });
  anthropic = new Anthropic({ baseURL: `${provider.url}/anthropic`, apiKey: 'any', maxRetries: 0 });
});
after(() => provider.close());

const ask = (content: string, model = 'gpt-4') =>
  openai.chat.completions.create({ model, messages: [{ role: 'user', content }] });

test('the OpenAI SDK gets the recorded text, served model and usage', async () => {
  const answer = await ask('Is 17077 a prime number?');
  assert.equal(answer.choices[0]?.message.content, RECORDS[0]!.output);
  assert.equal(answer.choices[0]?.finish_reason, 'stop');
  assert.equal(answer.model, 'gpt-4-0613');
  assert.deepEqual(answer.usage, { prompt_tokens: 40, completion_tokens: 14, total_tokens: 54 });
});

test('white space, system text, tool results and content parts do not change which record answers', async () => {
  const answer = await openai.chat.completions.create({
    model: 'gpt-4',
    messages: [
      { role: 'system', content: 'You know numbers.' },
      { role: 'user', content: [{ type: 'text', text: ' Is 17077\n' }] },
      { role: 'assistant', content: 'Let me see.' },
      { role: 'tool', tool_call_id: 't', content: '42' },
      { role: 'user', content: 'a  prime number? ' },
    ],
  });
  assert.equal(answer.choices[0]?.message.content, RECORDS[0]!.output);
});

test('the OpenAI SDK streams the same text in several pieces, with usage only when asked for', async () => {
  for (const include_usage of [true, false]) {
    const stream = await openai.chat.completions.create({
      model: 'gpt-4',
      stream: true,
      stream_options: { include_usage },
      messages: [{ role: 'user', content: 'Is 17077 a prime number?' }],
    });
    const chunks = await all(stream);
    const deltas = chunks.map((c) => c.choices[0]?.delta.content).filter((c) => c);
    assert.ok(deltas.length >= 3, 'the text comes in pieces');
    assert.equal(deltas.join(''), RECORDS[0]!.output);
    assert.equal(chunks[0]?.choices[0]?.delta.role, 'assistant');
    assert.equal(chunks.filter((c) => c.choices[0]?.finish_reason === 'stop').length, 1);
    assert.ok(chunks.every((c) => c.model === 'gpt-4-0613'));
    const usages = chunks.filter((c) => c.usage);
    assert.deepEqual(
      usages.map((c) => [c.choices.length, c.usage?.total_tokens]),
      include_usage ? [[0, 54]] : [],
    );
  }
});

test("the OpenAI SDK's stream helper puts the whole answer together", async () => {
  const stream = openai.chat.completions.stream({
    model: 'gpt-4',
    stream_options: { include_usage: true },
    messages: [{ role: 'user', content: 'Is 17077 a prime number?' }],
  });
  assert.equal(await stream.finalContent(), RECORDS[0]!.output);
  assert.equal((await stream.totalUsage()).completion_tokens, 14);
});

const askClaude = (content: string, model = 'claude-sonnet') => ({
  model,
  max_tokens: 100,
  messages: [{ role: 'user' as const, content }],
});

test('the Anthropic SDK gets the recorded text, served model and usage, under both paths', async () => {
  for (const baseURL of [provider.url, `${provider.url}/anthropic`]) {
    const client = new Anthropic({ baseURL, apiKey: 'any', maxRetries: 0 });
    const message = await client.messages.create(askClaude('Is 17077 a prime number?'));
    assert.deepEqual(message.content, [{ type: 'text', text: RECORDS[0]!.output }]);
    assert.equal(message.model, 'claude-sonnet-4-5-20250929');
    assert.equal(message.stop_reason, 'end_turn');
    assert.deepEqual([message.usage.input_tokens, message.usage.output_tokens], [40, 14]);
  }
});

test('the Anthropic SDK streams the same message, its usage cumulative', async () => {
  const stream = anthropic.messages.stream(askClaude('Is 17077 a prime number?'));
  const types: string[] = [];
  stream.on('streamEvent', (event) => types.push(event.type));
  const message = await stream.finalMessage();
  assert.deepEqual(message.content, [{ type: 'text', text: RECORDS[0]!.output }]);
  assert.deepEqual([message.usage.input_tokens, message.usage.output_tokens], [40, 14]);
  assert.deepEqual(types.slice(0, 2), ['message_start', 'content_block_start']);
  assert.deepEqual(types.slice(-3), ['content_block_stop', 'message_delta', 'message_stop']);
  assert.ok(types.filter((t) => t === 'content_block_delta').length >= 3);
});

test('usage that was not recorded is absent, never 0', async () => {
  assert.equal((await ask('no usage')).usage, undefined);
  const streamed = await openai.chat.completions.create({
    model: 'gpt-4',
    stream: true,
    stream_options: { include_usage: true },
    messages: [{ role: 'user', content: 'no usage' }],
  });
  assert.ok((await all(streamed)).every((c) => !c.usage));
  const whole = await anthropic.messages.create(askClaude('no usage'));
  assert.equal(whole.usage.output_tokens, undefined);
  const message = await anthropic.messages.stream(askClaude('no usage')).finalMessage();
  assert.equal(message.usage.output_tokens, undefined);
});

test('a prompt recorded twice is answered in recorded order, and the last answer stays', async () => {
  const answers = [await ask('twice'), await ask('twice'), await ask('twice')];
  assert.deepEqual(
    answers.map((a) => [a.model, a.choices[0]?.message.content]),
    [
      ['gpt-4-0314', 'first'],
      ['gpt-4-0613', 'second'],
      ['gpt-4-0613', 'second'],
    ],
  );
  assert.equal(new Set(answers.map((a) => a.id)).size, 3, 'each answer has an id of its own');
});

test('ids and bytes follow from the records and the order of calls alone', async () => {
  const transcripts = await Promise.all(
    [0, 1].map(async () => {
      const other = await startRecordedProvider({ records: RECORDS, port: 0, latency: 0 });
      try {
        const bodies: string[] = [];
        for (const content of ['twice', 'twice', 'no usage']) {
          const { body } = await request(`${other.url}/v1/chat/completions`, {
            method: 'POST',
            body: JSON.stringify({ model: 'gpt-4', stream: true, messages: [{ role: 'user', content }] }),
          });
          bodies.push(await body.text());
        }
        return bodies;
      } finally {
        await other.close();
      }
    }),
  );
  assert.deepEqual(transcripts[0], transcripts[1]);
});

test('a record without served model answers as the model asked for; an empty answer is an answer', async () => {
  assert.equal((await ask('as asked')).model, 'gpt-4');
  assert.equal((await ask('empty')).choices[0]?.message.content, '');
});

test('a model that was not recorded raises the typed not-found errors of both SDKs', async () => {
  await assert.rejects(ask('twice', 'gpt-99'), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, 'model_not_found');
    assert.match(error.message, /gpt-4, claude-sonnet/);
    return true;
  });
  await assert.rejects(anthropic.messages.create(askClaude('x', 'claude-99')), (error) => {
    assert.ok(error instanceof Anthropic.NotFoundError);
    assert.match(error.message, /not_found_error/);
    assert.match(error.message, /model_not_found/);
    return true;
  });
});

test('a prompt that was not recorded is a 400 that names the nearest one', async () => {
  await assert.rejects(ask('Is 17078 a prime number?'), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.code, 'prompt_not_recorded');
    assert.match(error.message, /nearest.*Is 17077 a prime number/i);
    return true;
  });
  await assert.rejects(ask('never answered'), { code: 'prompt_not_recorded' });
  await assert.rejects(anthropic.messages.stream(askClaude('Is 1 a prime?')).finalMessage(), (error) => {
    assert.ok(error instanceof Anthropic.BadRequestError);
    assert.match(error.message, /prompt_not_recorded/);
    return true;
  });
});

test('bodies that are no question are refused in the shape of the API', async () => {
  const post = async (path: string, body: string) => {
    const answer = await request(`${provider.url}${path}`, { method: 'POST', body });
    return [answer.statusCode, ((await answer.body.json()) as { error: { code: string } }).error.code];
  };
  for (const body of ['{', '[]', '{}', '{"model":"gpt-4"}', '{"model":"gpt-4","messages":[1]}']) {
    assert.deepEqual(await post('/v1/chat/completions', body), [400, 'invalid_request']);
    assert.deepEqual(await post('/v1/messages', body), [400, 'invalid_request']);
  }
  assert.deepEqual(await post('/v1/embeddings', '{}'), [404, 'not_found']);
  assert.deepEqual(await post('/constructor', '{}'), [404, 'not_found']);
});

test('both SDKs can list the models that can be asked for', async () => {
  assert.deepEqual(
    (await all(openai.models.list())).map((m) => m.id),
    ['gpt-4', 'claude-sonnet'],
  );
  assert.deepEqual(
    (await all(anthropic.models.list())).map((m) => m.id),
    ['gpt-4', 'claude-sonnet'],
  );
});

test('health, readiness and counts are served; records without an answer are counted as skipped', async () => {
  for (const path of ['/healthz', '/readyz']) {
    const { statusCode, body } = await request(`${provider.url}${path}`);
    assert.equal(statusCode, 200);
    await body.dump();
  }
  const metrics = await (await request(`${provider.url}/metrics`)).body.text();
  assert.match(metrics, /loopscope_provider_answered_total \d+/);
  assert.deepEqual([provider.stats.records, provider.stats.skipped], [8, 1]);
  assert.ok(provider.stats.refused > 0);
});

test('latency is as recorded or as given, and a stream spreads it over its pieces', async () => {
  const waits: number[] = [];
  const clock: Clock = {
    ...systemClock(),
    sleep: async (ms) => {
      waits.push(ms);
    },
  };
  const records = [record({ latency_ms: 900, output: 'one two three four five six' })];
  for (const [latency, stream, expected] of [
    ['recorded', false, [900]],
    ['recorded', true, [450, 450]],
    [50, false, [50]],
    [0, true, []],
  ] as const) {
    waits.length = 0;
    const slow = await startRecordedProvider({ records, port: 0, latency, clock });
    try {
      const { body } = await request(`${slow.url}/v1/chat/completions`, {
        method: 'POST',
        body: JSON.stringify({
          model: 'gpt-4',
          stream,
          messages: [{ role: 'user', content: records[0]!.input }],
        }),
      });
      assert.match(await body.text(), /six/);
      assert.deepEqual(waits, expected);
    } finally {
      await slow.close();
    }
  }
});

test('close cuts answers that are under way and frees the port', async () => {
  const slow = await startRecordedProvider({ records: RECORDS, port: 0, latency: 60_000 });
  const port = Number(new URL(slow.url).port);
  const client = new OpenAI({ baseURL: `${slow.url}/v1`, apiKey: 'any', maxRetries: 0 });
  const stream = await client.chat.completions.create({
    model: 'gpt-4',
    stream: true,
    messages: [{ role: 'user', content: 'twice' }],
  });
  const reading = assert.rejects(all(stream));
  await slow.close();
  await reading;
  const again = await startRecordedProvider({ records: RECORDS, port, latency: 0 });
  await again.close();
});

test('a port in use is one clear line', async () => {
  const port = Number(new URL(provider.url).port);
  await assert.rejects(startRecordedProvider({ records: [], port, latency: 0 }), (error) => {
    assert.ok(error instanceof LoopscopeError);
    assert.equal(error.code, 'port_in_use');
    assert.match(error.message, new RegExp(`port ${port}`));
    return true;
  });
});
