import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openai } from '../../src/gateway/openai.ts';
import { openaiClient, readAll, tapOf, typedEvents } from '../support/sdk-stream.ts';

const responses = openai.operation('POST', '/responses')!;

const usage = {
  input_tokens: 1000,
  input_tokens_details: { cached_tokens: 400, cache_write_tokens: 0 },
  output_tokens: 120,
  output_tokens_details: { reasoning_tokens: 64 },
  total_tokens: 1120,
};

const response = (more: object) => ({
  id: 'resp_67ccd2bed1ec8190',
  object: 'response',
  created_at: 1741476542,
  status: 'completed',
  error: null,
  incomplete_details: null,
  instructions: null,
  max_output_tokens: null,
  model: 'gpt-5-2025-08-07',
  output: [],
  parallel_tool_calls: true,
  previous_response_id: null,
  reasoning: { effort: 'medium', summary: 'auto' },
  service_tier: 'default',
  temperature: 1,
  tool_choice: 'auto',
  tools: [],
  top_p: 1,
  usage,
  metadata: {},
  ...more,
});

const reasoning = {
  type: 'reasoning',
  id: 'rs_1',
  summary: [{ type: 'summary_text', text: 'Thinking of the weather.' }],
};
const search = {
  type: 'web_search_call',
  id: 'ws_1',
  status: 'completed',
  action: { type: 'search', query: 'q' },
};
const opened = {
  type: 'web_search_call',
  id: 'ws_2',
  status: 'completed',
  action: { type: 'open_page', url: 'u' },
};
const call = {
  type: 'function_call',
  id: 'fc_1',
  call_id: 'call_1',
  name: 'get_weather',
  arguments: '{"city":"Köln"}',
  status: 'completed',
};
const message = {
  type: 'message',
  id: 'msg_1',
  status: 'completed',
  role: 'assistant',
  content: [{ type: 'output_text', text: 'It is "fine",\nthey say.', annotations: [], logprobs: [] }],
};

test('the model call is a chat by the conventions; looking at a stored response is no call', () => {
  assert.equal(responses.name, 'chat');
  for (const [method, path] of [
    ['GET', '/responses/resp_1'],
    ['POST', '/responses/resp_1/cancel'],
    ['GET', '/responses/resp_1/input_items'],
    ['GET', '/models'],
    ['POST', '/files'],
    ['POST', '/batches'],
  ] as const)
    assert.equal(openai.operation(method, path), undefined, `${method} ${path}`);
});

test('a request is read with its input as a text', () => {
  const asked = {
    model: 'gpt-5',
    instructions: 'Be brief.',
    input: 'What is 2+2?',
    max_output_tokens: 50,
    temperature: 0.5,
    top_p: 0.9,
    reasoning: { effort: 'low' },
    text: { format: { type: 'json_schema', name: 's', schema: {} } },
    tool_choice: { type: 'function', name: 'f' },
    stream: true,
    previous_response_id: 'resp_0',
    conversation: { id: 'conv_1' },
    tools: [{ type: 'function', name: 'f', parameters: {} }],
  };
  const { messages, ...said } = responses.readContent(asked);
  assert.deepEqual(responses.readRequest(asked), {
    model: 'gpt-5',
    stream: true,
    maxTokens: 50,
    temperature: 0.5,
    topP: 0.9,
    reasoning: 'low',
    responseFormat: 'json_schema',
    toolChoice: 'f',
    conversationId: 'conv_1',
    previousResponseId: 'resp_0',
  });
  assert.deepEqual(said, {
    systemText: 'Be brief.',
    userText: 'What is 2+2?',
    tools: '[{"type":"function","name":"f","parameters":{}}]',
  });
  assert.deepEqual(messages(), [
    { role: 'system', parts: [{ type: 'text', content: 'Be brief.' }] },
    { role: 'user', parts: [{ type: 'text', content: 'What is 2+2?' }] },
  ]);
});

test('a request is read with its input as items: messages, calls, their results, reasoning', () => {
  const asked = {
    model: 'gpt-5',
    input: [
      { role: 'developer', content: 'Answer in German.' },
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'Weather?' },
          { type: 'input_image', image_url: 'u' },
        ],
      },
      reasoning,
      call,
      { type: 'function_call_output', call_id: 'call_1', output: 'rain' },
      { type: 'custom_tool_call', call_id: 'call_2', name: 'sh', input: 'ls' },
      { type: 'message', role: 'user', content: 'And tomorrow?' },
      { type: 'item_reference', id: 'x' },
    ],
    conversation: 'conv_2',
  };
  const content = responses.readContent(asked);
  assert.equal(content.systemText, 'Answer in German.');
  assert.equal(content.userText, 'Weather?\nAnd tomorrow?');
  assert.equal(responses.readRequest(asked).conversationId, 'conv_2');
  assert.deepEqual(content.messages(), [
    { role: 'developer', parts: [{ type: 'text', content: 'Answer in German.' }] },
    {
      role: 'user',
      parts: [
        { type: 'text', content: 'Weather?' },
        { type: 'input_image', image_url: 'u' },
      ],
    },
    { role: 'assistant', parts: [{ type: 'reasoning', content: 'Thinking of the weather.' }] },
    {
      role: 'assistant',
      parts: [{ type: 'tool_call', id: 'call_1', name: 'get_weather', arguments: '{"city":"Köln"}' }],
    },
    { role: 'tool', parts: [{ type: 'tool_call_response', id: 'call_1', response: 'rain' }] },
    { role: 'assistant', parts: [{ type: 'tool_call', id: 'call_2', name: 'sh', arguments: 'ls' }] },
    { role: 'user', parts: [{ type: 'text', content: 'And tomorrow?' }] },
    { role: 'assistant', parts: [{ type: 'item_reference', id: 'x' }] },
  ]);
});

test('an answer is read with usage, tools, reasoning and the searches that are billed', () => {
  const facts = responses.readAnswer(response({ output: [reasoning, search, opened, call, message] }));
  const { messages, ...said } = facts;
  assert.deepEqual(said, {
    id: 'resp_67ccd2bed1ec8190',
    model: 'gpt-5-2025-08-07',
    finishReasons: ['completed'],
    usage: {
      inputTokens: 1000,
      outputTokens: 120,
      cacheReadTokens: 400,
      cacheWriteTokens: 0,
      reasoningTokens: 64,
      webSearches: 1,
      fileSearches: undefined,
      serviceTier: undefined,
    },
    text: 'It is "fine",\nthey say.',
    complete: true,
    errorType: undefined,
  });
  assert.deepEqual(
    messages()[0]!.parts.map((part) => part.type),
    ['reasoning', 'web_search_call', 'web_search_call', 'tool_call', 'text'],
  );
});

test('an answer that failed, is incomplete or still to come says so', () => {
  const failed = responses.readAnswer(
    response({ status: 'failed', error: { code: 'server_error', message: 'x' }, usage: null }),
  );
  assert.equal(failed.errorType, 'server_error');
  assert.equal(failed.usage.inputTokens, undefined);
  const cut = responses.readAnswer(
    response({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } }),
  );
  assert.deepEqual(cut.finishReasons, ['max_output_tokens']);
  const queued = responses.readAnswer(response({ status: 'queued', usage: null }));
  assert.equal(queued.complete, true);
  assert.equal(queued.errorType, undefined);
});

/** A stream as the API sends it: reasoning, a call with its arguments, a message with text. */
function streamEvents(end: { type: string; response: object }) {
  const started = response({ status: 'in_progress', usage: null });
  const part = { type: 'output_text', text: '', annotations: [] };
  const events: ({ type: string } & Record<string, unknown>)[] = [
    { type: 'response.created', response: started },
    { type: 'response.in_progress', response: started },
    { type: 'response.output_item.added', output_index: 0, item: { ...reasoning, summary: [] } },
    {
      type: 'response.reasoning_summary_part.added',
      item_id: 'rs_1',
      output_index: 0,
      summary_index: 0,
      part: { type: 'summary_text', text: '' },
    },
    {
      type: 'response.reasoning_summary_text.delta',
      item_id: 'rs_1',
      output_index: 0,
      summary_index: 0,
      delta: 'Thinking of the weather.',
    },
    { type: 'response.output_item.done', output_index: 0, item: reasoning },
    { type: 'response.output_item.added', output_index: 1, item: { ...call, arguments: '' } },
    ...['{"city"', ':"K', 'öln"}'].map((delta) => ({
      type: 'response.function_call_arguments.delta',
      item_id: 'fc_1',
      output_index: 1,
      delta,
    })),
    {
      type: 'response.function_call_arguments.done',
      item_id: 'fc_1',
      output_index: 1,
      arguments: call.arguments,
      name: call.name,
    },
    { type: 'response.output_item.done', output_index: 1, item: call },
    { type: 'response.output_item.added', output_index: 2, item: { ...message, content: [] } },
    { type: 'response.content_part.added', item_id: 'msg_1', output_index: 2, content_index: 0, part },
    ...['It', ' is', ' "fine', '",\n', 'they', ' say.'].map((delta, i) => ({
      type: 'response.output_text.delta',
      item_id: 'msg_1',
      output_index: 2,
      content_index: 0,
      delta,
      logprobs: [],
      obfuscation: 'aBcDeFgH'.slice(i),
    })),
    {
      type: 'response.output_text.done',
      item_id: 'msg_1',
      output_index: 2,
      content_index: 0,
      text: message.content[0]!.text,
      logprobs: [],
    },
    { type: 'response.output_item.done', output_index: 2, item: message },
    end,
  ];
  return events.map(({ type, ...rest }, i) => ({ type, sequence_number: i, ...rest }));
}

const whole = { type: 'response.completed', response: response({ output: [reasoning, call, message] }) };

test('a stream reads to what the official client makes of it', async () => {
  const bytes = typedEvents(streamEvents(whole));
  const final = await openaiClient(bytes).responses.stream({ model: 'gpt-5', input: 'x' }).finalResponse();
  const { answer, isComplete } = await readAll(openai, '/responses', bytes);
  assert.equal(isComplete, true);
  assert.equal(answer.text, final.output_text);
  assert.equal(answer.usage.inputTokens, final.usage!.input_tokens);
  assert.equal(answer.usage.outputTokens, final.usage!.output_tokens);
  assert.equal(answer.usage.reasoningTokens, final.usage!.output_tokens_details.reasoning_tokens);
  assert.equal(answer.model, final.model);
  assert.equal(answer.id, final.id);
  assert.equal(answer.complete, true);
});

test('what the deltas said stands where the last event does not repeat it, or does not come', async () => {
  const expected = [
    { type: 'reasoning', content: 'Thinking of the weather.' },
    { type: 'tool_call', id: 'call_1', name: 'get_weather', arguments: '{"city":"Köln"}' },
    { type: 'text', content: 'It is "fine",\nthey say.' },
  ];
  const bare = streamEvents({ type: 'response.completed', response: response({ output: [] }) });
  const repeated = await readAll(openai, '/responses', typedEvents(streamEvents(whole)));
  const unrepeated = await readAll(openai, '/responses', typedEvents(bare));
  const cut = await readAll(openai, '/responses', typedEvents(bare.slice(0, -1)));
  for (const { answer } of [repeated, unrepeated, cut]) {
    assert.deepEqual(answer.messages()[0]!.parts, expected);
    assert.equal(answer.text, 'It is "fine",\nthey say.');
  }
  assert.equal(unrepeated.answer.usage.outputTokens, 120);
  assert.deepEqual([cut.isComplete, cut.answer.complete], [false, false]);
  assert.equal(cut.answer.usage.outputTokens, undefined);
  assert.equal(cut.answer.model, 'gpt-5-2025-08-07');
});

test('usage is in the last event however the response ended', async () => {
  for (const [type, more, reason, errorType] of [
    ['response.completed', {}, 'completed', undefined],
    [
      'response.incomplete',
      { status: 'incomplete', incomplete_details: { reason: 'content_filter' } },
      'content_filter',
      undefined,
    ],
    [
      'response.failed',
      { status: 'failed', error: { code: 'rate_limit_exceeded' } },
      'failed',
      'rate_limit_exceeded',
    ],
    ['response.failed', { status: 'failed' }, 'failed', 'error'],
  ] as const) {
    const bytes = typedEvents(streamEvents({ type, response: response(more) }));
    const { answer, isComplete, errorType: told } = await readAll(openai, '/responses', bytes);
    assert.deepEqual(
      [isComplete, answer.complete, answer.usage.outputTokens, answer.finishReasons, told],
      [true, true, 120, [reason], errorType],
      type,
    );
  }
});

test('an error event ends the stream', async () => {
  const error = { type: 'error', code: 'server_error', message: 'sorry', param: null, sequence_number: 24 };
  const { answer, isComplete, errorType } = await readAll(
    openai,
    '/responses',
    typedEvents([...streamEvents(whole).slice(0, -1), error]),
  );
  assert.deepEqual([isComplete, answer.complete, errorType], [true, false, 'server_error']);
});

test('a refusal is kept apart from the text', async () => {
  const item = { type: 'message', id: 'm', role: 'assistant', content: [] };
  const { answer } = await readAll(
    openai,
    '/responses',
    typedEvents([
      { type: 'response.output_item.added', output_index: 0, item },
      ...['I ', 'cannot.'].map((delta) => ({ type: 'response.refusal.delta', output_index: 0, delta })),
    ]),
  );
  assert.equal(answer.text, '');
  assert.deepEqual(answer.messages()[0]!.parts, [{ type: 'refusal', content: 'I cannot.' }]);
});

test('without content only usage and how it ended are kept', async () => {
  const { answer } = await readAll(openai, '/responses', typedEvents(streamEvents(whole)), false);
  assert.equal(answer.text, '');
  assert.equal(answer.usage.outputTokens, 120);
  assert.doesNotMatch(JSON.stringify(answer.messages()), /fine|Köln|weather/);
});

test('an error of ours goes on with the numbers of the stream', () => {
  const tap = tapOf(openai, responses);
  tap.write(typedEvents(streamEvents(whole).slice(0, 19)));
  const text = tap
    .errorEvent({ status: 502, code: 'provider_unreachable', message: 'broke off' })!
    .toString();
  assert.equal(JSON.parse(text.split('data: ')[1]!).sequence_number, 19);
});
