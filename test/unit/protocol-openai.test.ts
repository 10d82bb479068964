import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openai } from '../../src/gateway/openai.ts';
import { openTap } from '../../src/gateway/tap/open.ts';
import { LIMITS } from '../../src/span/limits.ts';
import { chatChunk, sse } from '../support/scripted-provider.ts';
import { openaiClient, readAll, tapOf } from '../support/sdk-stream.ts';

const at = (path: string) => openai.operation('POST', path)!;
const chat = at('/chat/completions');

test("operations have the conventions' names, wherever OpenAI or Azure has them", () => {
  const cases: [string, string | undefined][] = [
    ['/chat/completions', 'chat'],
    ['/responses', 'chat'],
    ['/completions', 'text_completion'],
    ['/embeddings', 'embeddings'],
    ['/openai/v1/chat/completions', 'chat'],
    ['/openai/v1/responses', 'chat'],
    ['/openai/deployments/gpt-4o/chat/completions', 'chat'],
    ['/openai/deployments/ada/embeddings', 'embeddings'],
    ['/openai/deployments/a/b/chat/completions', undefined],
    ['/chat/completions/chatcmpl-1', undefined],
    ['/models', undefined],
    ['/moderations', undefined],
    ['', undefined],
    ['/__proto__', undefined],
  ];
  for (const [path, name] of cases) assert.equal(openai.operation('POST', path)?.name, name, path);
  assert.equal(openai.operation('GET', '/chat/completions'), undefined);
});

test('a deployment in the path is the model where the body names none', () => {
  const deployed = at('/openai/deployments/my-gpt/chat/completions');
  assert.equal(deployed.readRequest({ messages: [] }).model, 'my-gpt');
  assert.equal(deployed.readRequest({ model: 'gpt-4o' }).model, 'gpt-4o');
  assert.equal(at('/openai/v1/chat/completions').readRequest({}).model, undefined);
});

test('a chat stream reads to what the official client makes of it', async () => {
  const calls = (part: object) => chatChunk({ tool_calls: [part] });
  const bytes = Buffer.from(
    sse(
      chatChunk({ role: 'assistant', content: '', refusal: null }, null, { system_fingerprint: 'fp_1' }),
      ...['Let', ' me', ' "see"', ':\n', 'ö', ' 🌍'].map((content) => chatChunk({ content })),
      calls({ index: 0, id: 'call_1', type: 'function', function: { name: 'f', arguments: '' } }),
      ...['{"a"', ':', '1', '1', '1', '}'].map((part) => calls({ index: 0, function: { arguments: part } })),
      chatChunk({}, 'tool_calls'),
      chatChunk({}, null, {
        choices: [],
        usage: {
          prompt_tokens: 20,
          completion_tokens: 30,
          total_tokens: 50,
          completion_tokens_details: { reasoning_tokens: 10 },
        },
      }),
      '[DONE]',
    ),
  );
  const theirs = openaiClient(bytes).chat.completions.stream({ model: 'm', messages: [] });
  const completion = await theirs.finalChatCompletion();
  const { answer, isComplete } = await readAll(openai, '/chat/completions', bytes);
  const { message, finish_reason } = completion.choices[0]!;
  const call = message.tool_calls![0]!;
  assert.ok('function' in call);
  assert.equal(isComplete, true);
  assert.equal(answer.text, message.content);
  assert.equal(answer.systemFingerprint, 'fp_1');
  assert.deepEqual(answer.finishReasons, [finish_reason]);
  assert.deepEqual(answer.messages()[0]!.parts, [
    { type: 'text', content: message.content },
    { type: 'tool_call', id: call.id, name: call.function.name, arguments: call.function.arguments },
  ]);
  assert.deepEqual(
    [answer.usage.inputTokens, answer.usage.outputTokens, answer.usage.reasoningTokens],
    [completion.usage!.prompt_tokens, completion.usage!.completion_tokens, 10],
  );
});

test('a stream is over with its last event, not before it and not with its last chunk of text', () => {
  const tap = tapOf(openai, chat);
  const pieces = [
    [sse(chatChunk({ content: 'a' })), false],
    [sse(chatChunk({}, 'stop')), false],
    [sse(chatChunk({}, null, { choices: [], usage: { prompt_tokens: 1 } })), false],
    ['data: [DO', false],
    ['NE]\n', false],
    ['\n', true],
  ] as const;
  for (const [text, expected] of pieces) {
    tap.write(Buffer.from(text));
    assert.equal(tap.isComplete, expected, text);
  }
});

test('two answers that grow in turns are not mixed', async () => {
  const chunk = (index: number, content: string) => ({
    choices: [{ index, delta: { content }, finish_reason: null }],
  });
  const turns = [0, 1, 0, 1, 1, 0].map((index, i) => chunk(index, i === 3 ? '"quoted"' : `${index}${i} `));
  const { answer } = await readAll(openai, '/chat/completions', Buffer.from(sse(...turns)));
  assert.deepEqual(
    answer.messages().map(({ parts }) => parts[0]!['content']),
    ['00 02 05 ', '11 "quoted"14 '],
  );
});

test('an event that says the same again says it again, whatever came with its text', async () => {
  const call = { index: 0, function: { arguments: '1' } };
  const texts = async (...choices: object[]) => {
    const event = { choices };
    const { answer } = await readAll(openai, '/chat/completions', Buffer.from(sse(event, event, event)));
    return answer.messages().map(({ parts }) => parts.map((part) => part['content'] ?? part['arguments']));
  };
  assert.deepEqual(await texts({ index: 0, delta: { content: 'a', tool_calls: [call] } }), [['aaa', '111']]);
  assert.deepEqual(await texts({ index: 0, delta: { content: 'a', refusal: 'b' } }), [['aaa', 'bbb']]);
  assert.deepEqual(await texts({ index: 0, delta: { content: 'a', reasoning: 'b' } }), [['bbb', 'aaa']]);
  assert.deepEqual(
    await texts({ index: 0, delta: { content: 'a' } }, { index: 1, delta: { refusal: 'b' } }),
    [['aaa'], ['bbb']],
  );
});

test('usage is read from what compatible providers make of it', () => {
  const usageOf = (usage: object) => {
    const facts = chat.readAnswer({ choices: [{ message: { content: '' } }], usage }).usage;
    return [facts.inputTokens, facts.outputTokens, facts.cacheReadTokens, facts.reasoningTokens];
  };
  const cases: [string, object, unknown[]][] = [
    [
      'OpenAI: reasoning is part of the completion',
      {
        prompt_tokens: 10,
        completion_tokens: 50,
        total_tokens: 60,
        completion_tokens_details: { reasoning_tokens: 40 },
      },
      [10, 50, undefined, 40],
    ],
    [
      'xAI: reasoning is beside it',
      {
        prompt_tokens: 10,
        completion_tokens: 5,
        total_tokens: 55,
        completion_tokens_details: { reasoning_tokens: 40 },
      },
      [10, 45, undefined, 40],
    ],
    [
      'Gemini: thoughts are in the total only',
      { prompt_tokens: 10, completion_tokens: 5, total_tokens: 40 },
      [10, 30, undefined, undefined],
    ],
    [
      'DeepSeek: the cache has names of its own',
      {
        prompt_tokens: 10,
        completion_tokens: 5,
        total_tokens: 15,
        prompt_cache_hit_tokens: 8,
        prompt_cache_miss_tokens: 2,
      },
      [10, 5, 8, undefined],
    ],
    ['nothing', {}, [undefined, undefined, undefined, undefined]],
    [
      'nonsense',
      { prompt_tokens: -1, completion_tokens: 1.5, total_tokens: '3', prompt_tokens_details: [] },
      [undefined, undefined, undefined, undefined],
    ],
  ];
  for (const [name, usage, expected] of cases) assert.deepEqual(usageOf(usage), expected, name);
});

test('reasoning and errors of compatible providers are read in a stream', async () => {
  const bytes = (last: object) =>
    Buffer.from(
      sse(
        chatChunk({ role: 'assistant', content: null, reasoning_content: 'Hm' }),
        chatChunk({ content: null, reasoning_content: ', so.' }),
        chatChunk({ content: 'Yes' }),
        last,
      ),
    );
  const groq = await readAll(
    openai,
    '/chat/completions',
    bytes({ ...chatChunk({}, 'stop'), x_groq: { usage: { prompt_tokens: 3, completion_tokens: 4 } } }),
  );
  assert.deepEqual(groq.answer.messages()[0]!.parts, [
    { type: 'reasoning', content: 'Hm, so.' },
    { type: 'text', content: 'Yes' },
  ]);
  assert.equal(groq.answer.usage.outputTokens, 4);
  // Not every compatible server says [DONE]; a reason for each answer will do.
  assert.deepEqual([groq.isComplete, groq.answer.complete], [false, true]);
  const openrouter = await readAll(
    openai,
    '/chat/completions',
    bytes({
      error: { code: 'server_error', message: 'x' },
      choices: [{ index: 0, delta: { content: '' }, finish_reason: 'error' }],
    }),
  );
  assert.equal(openrouter.errorType, 'server_error');
});

test('a tier at other prices is told apart', () => {
  const tierOf = (service_tier: unknown) => chat.readAnswer({ choices: [], service_tier }).usage.serviceTier;
  for (const standard of ['default', 'auto', 'on_demand', null, undefined, 5])
    assert.equal(tierOf(standard), undefined);
  for (const other of ['flex', 'priority']) assert.equal(tierOf(other), other);
});

test('text completions are read, whole and as a stream', async () => {
  const completions = at('/completions');
  const asked = { model: 'm', prompt: ['a', 'b'], max_tokens: 5, n: 2, stream: true };
  const request = completions.readRequest(asked);
  assert.equal(completions.readContent(asked).userText, 'a\nb');
  assert.deepEqual([request.maxTokens, request.choices, request.stream], [5, 2, true]);
  assert.equal(completions.readContent({ prompt: [[1, 2], [3]] }).userText, '');
  assert.deepEqual(completions.readContent({ prompt: [1, 2] }).messages(), []);
  const body = {
    id: 'cmpl-1',
    object: 'text_completion',
    model: 'gpt-3.5-turbo-instruct',
    choices: [{ index: 0, text: '\n\nYes', logprobs: null, finish_reason: 'length' }],
    usage: { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 },
  };
  const { text, finishReasons, usage, complete } = completions.readAnswer(body);
  assert.deepEqual([text, finishReasons, usage.outputTokens, complete], ['\n\nYes', ['length'], 7, true]);
  const chunk = (piece: string, finish_reason: string | null = null) => ({
    ...body,
    choices: [{ index: 0, text: piece, logprobs: null, finish_reason }],
    usage: null,
  });
  const streamed = sse(chunk('Ja'), chunk(', '), chunk('gut'), chunk('', 'stop'), '[DONE]');
  const { answer } = await readAll(openai, '/completions', Buffer.from(streamed));
  assert.deepEqual([answer.text, answer.finishReasons, answer.complete], ['Ja, gut', ['stop'], true]);
});

test('embeddings have usage and a model, and no text', () => {
  const embeddings = at('/embeddings');
  const asked = { model: 'text-embedding-3-small', input: ['a', 'b'], dimensions: 2 };
  const request = embeddings.readRequest(asked);
  assert.deepEqual(
    [request.model, embeddings.readContent(asked).userText, request.stream],
    ['text-embedding-3-small', 'a\nb', undefined],
  );
  const { messages, ...facts } = embeddings.readAnswer({
    object: 'list',
    data: [{ object: 'embedding', index: 0, embedding: [0.1, 0.2] }],
    model: 'text-embedding-3-small',
    usage: { prompt_tokens: 8, total_tokens: 8 },
  });
  assert.deepEqual(facts, {
    model: 'text-embedding-3-small',
    finishReasons: [],
    usage: { inputTokens: 8 },
    text: '',
    complete: true,
  });
  assert.deepEqual(messages(), []);
});

test('more embeddings than are parsed still have their usage read, at either end', async () => {
  const vectors = `"data":[{"object":"embedding","index":0,"embedding":"${'A'.repeat(LIMITS.tapBytesMax)}"}]`;
  const ends = '"model":"text-embedding-3-large","usage":{"prompt_tokens": 12345,"total_tokens":12345}';
  for (const text of [
    `{"object":"list",${vectors},${ends}}\n`,
    `{${ends},${vectors}}`,
    `{${ends},${vectors}`,
  ]) {
    const tap = openTap({
      protocol: openai,
      operation: at('/embeddings'),
      content: true,
      status: 200,
      contentType: 'application/json',
      contentEncoding: '',
    });
    const bytes = Buffer.from(text);
    for (let from = 0; from < bytes.length; from += 65_536) tap.write(bytes.subarray(from, from + 65_536));
    const { answer, skipped } = await tap.end();
    assert.equal(skipped, undefined);
    assert.equal(answer!.model, 'text-embedding-3-large');
    assert.equal(answer!.usage.inputTokens, 12_345);
    assert.equal(answer!.complete, text.trimEnd().endsWith('}'));
  }
});

test('hostile answers are harmless: deep, huge, and named after what objects inherit', async () => {
  const deep = `${'{"choices":['.repeat(50_000)}${']}'.repeat(50_000)}`;
  const proto =
    '{"__proto__":{"polluted":1},"choices":[{"message":{"__proto__":{"polluted":1},"content":[{"__proto__":{"polluted":1},"type":"x"}]}}],"usage":{"__proto__":{"prompt_tokens":7},"prompt_tokens":1e400}}';
  const answer = chat.readAnswer(JSON.parse(proto));
  JSON.stringify(answer.messages());
  assert.equal(answer.usage.inputTokens, undefined);
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  for (const path of ['/chat/completions', '/responses', '/completions', '/embeddings'])
    await readAll(openai, path, Buffer.from(sse(deep, proto, deep)));
  for (const read of [chat.readRequest, chat.readContent])
    read(
      JSON.parse(
        `{"messages":${'['.repeat(50_000)}${']'.repeat(50_000)},"tools":[${'['.repeat(50_000)}${']'.repeat(50_000)}]}`,
      ),
    );
});
