import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { gatewayModel } from '../../src/replay/play/ask.ts';
import { askedTools, providerTools } from '../../src/replay/play/asked-tools.ts';
import { commandTools } from '../../src/replay/play/command-tools.ts';
import { requireLive, toolGuard } from '../../src/replay/play/tools.ts';
import { call, recordingOf, text, tool } from '../support/replay.ts';

const SAFE = [
  { name: 'search', safe: true, command: [process.execPath, '-e', 'process.stdin.pipe(process.stdout)'] },
];

describe('what a replay may carry out', () => {
  test('is what is marked safe, or named, letter by letter', () => {
    const guard = toolGuard('desk', [...SAFE, { name: 'send', safe: false }], ['pay']);
    assert.ok(guard.allows('search') && guard.allows('pay'));
    for (const name of [
      'send',
      'Search',
      'SEARCH',
      'search ',
      ' search',
      'ѕearch',
      'search\u200b',
      'ｓearch',
      'sea\u0000rch',
      '',
      '__proto__',
      'constructor',
      'Pay',
      'pay,send',
    ])
      assert.equal(guard.allows(name), false, JSON.stringify(name));
    assert.match(guard.refusal(['ѕearch']), /"\\u0455earch" is not marked safe/);
  });

  test('a tool that is listed twice is safe only if it is both times', () => {
    const guard = toolGuard('desk', [...SAFE, { name: 'search', safe: false }], []);
    assert.equal(guard.allows('search'), false);
  });

  test('live refuses up front, and names each tool that is not allowed or cannot be carried out', () => {
    const recording = recordingOf([
      tool('search', '1', {}, ''),
      tool('send', '2', {}, ''),
      tool('pay', '3', {}, ''),
    ]);
    const refused = (allowed: string[]) => {
      try {
        requireLive(recording, toolGuard('desk', SAFE, allowed), SAFE);
      } catch (error) {
        assert.ok(error instanceof LoopscopeError);
        return `${error.code}: ${error.message}`;
      }
      return '';
    };
    assert.match(refused([]), /replay_refused: "send", "pay" are not marked safe.*--allow-writes send,pay/);
    assert.match(refused(['send', 'pay']), /"send", "pay" cannot be carried out: .* no command/);
    requireLive(recordingOf([tool('search', '1', {}, '')]), toolGuard('desk', SAFE, []), SAFE);
  });

  test('a command gets what the model asks on stdin; nothing of it is run by a shell', async () => {
    const guard = toolGuard('desk', SAFE, []);
    const tools = commandTools({ tools: SAFE, guard, directory: '.' });
    const use = { agent: 'maker', tool: 'search', callId: '1', arguments: '{"q":"$(id); `id`"}' };
    assert.deepEqual(await tools(use), { outcome: 'done', result: use.arguments });
    assert.equal((await tools({ ...use, tool: 'Search' })).outcome, 'withheld');
    const failing = commandTools({
      tools: [
        {
          name: 'search',
          safe: true,
          command: [process.execPath, '-e', 'console.error("no network"); process.exit(3)'],
        },
      ],
      guard,
      directory: '.',
    });
    const failed = await failing(use);
    assert.match(failed.outcome === 'failed' ? failed.message : '', /exit code 3\. no network/);
  });
});

describe('the tools that an answer would have called', () => {
  const tools = (api: Parameters<typeof askedTools>[0], ...said: unknown[]) => {
    const asked = askedTools(api, said);
    return asked.outcome === 'read' ? [...asked.tools].sort() : asked.outcome;
  };
  const chatMessage = (message: object) => ({ choices: [{ index: 0, message }] });
  const chatDelta = (delta: object) => ({ choices: [{ index: 0, delta }] });

  test('in chat completions: functions, custom tools, the old function call, several choices', () => {
    const fn = (name: string) => ({ id: 'c', type: 'function', function: { name, arguments: '{}' } });
    assert.deepEqual(tools('chat_completions', chatMessage({ content: 'hello' })), []);
    assert.deepEqual(tools('chat_completions', chatMessage({ tool_calls: [fn('a'), fn('b')] })), ['a', 'b']);
    assert.deepEqual(
      tools('chat_completions', chatMessage({ tool_calls: [{ type: 'custom', custom: { name: 'c' } }] })),
      ['c'],
    );
    assert.deepEqual(
      tools('chat_completions', chatMessage({ tool_calls: [{ type: 'odd', odd: { name: 'd' } }] })),
      ['d'],
    );
    assert.deepEqual(tools('chat_completions', chatMessage({ tool_calls: [{ type: 'function' }] })), ['']);
    assert.deepEqual(
      tools('chat_completions', chatMessage({ function_call: { name: 'e', arguments: '' } })),
      ['e'],
    );
    assert.deepEqual(
      tools('chat_completions', {
        choices: [
          { index: 0, message: {} },
          { index: 1, message: { tool_calls: [fn('f')] } },
        ],
      }),
      ['f'],
    );
    assert.equal(
      tools('chat_completions', { choices: [{ message: { tool_calls: { 0: fn('x') } } }] }),
      'not_understood',
    );
    assert.equal(tools('chat_completions', 'not json'), 'not_understood');
  });

  test('in a stream: a name that comes in pieces is all that it could be put together to', () => {
    const piece = (index: number, part: object) => chatDelta({ tool_calls: [{ index, function: part }] });
    assert.deepEqual(
      tools(
        'chat_completions',
        piece(0, { name: 'sea' }),
        piece(0, { name: 'rch' }),
        piece(0, { arguments: '{}' }),
      ),
      ['rch', 'sea', 'search'],
    );
    assert.deepEqual(tools('chat_completions', piece(0, { name: 'a' }), piece(1, { name: 'b' })), ['a', 'b']);
    assert.deepEqual(tools('chat_completions', piece(0, { name: 'a' }), piece(0, { name: 'a' })), ['a']);
    assert.deepEqual(tools('chat_completions', chatDelta({ function_call: { name: 'old' } })), ['old']);
  });

  test('in the Responses API: items, in the stream and at its end; what is not known is a tool by its type', () => {
    const item = (type: string, more: object = {}) => ({ type, ...more });
    assert.deepEqual(
      tools('responses', { output: [item('message'), item('reasoning'), item('web_search_call')] }),
      [],
    );
    assert.deepEqual(
      tools('responses', {
        output: [item('function_call', { name: 'a' }), item('custom_tool_call', { name: 'b' })],
      }),
      ['a', 'b'],
    );
    assert.deepEqual(
      tools('responses', {
        output: [item('local_shell_call'), item('computer_call'), item('apply_patch_call')],
      }),
      ['apply_patch_call', 'computer_call', 'local_shell_call'],
    );
    assert.deepEqual(
      tools('responses', { type: 'response.output_item.added', item: item('function_call', { name: 'c' }) }),
      ['c'],
    );
    assert.deepEqual(
      tools('responses', {
        type: 'response.completed',
        response: { output: [item('function_call', { name: 'd' })] },
      }),
      ['d'],
    );
    assert.deepEqual(tools('responses', { type: 'response.function_call_arguments.done', name: 'e' }), ['e']);
  });

  test('in messages: blocks, in the stream and whole', () => {
    assert.deepEqual(tools('messages', { content: [{ type: 'text' }, { type: 'tool_use', name: 'a' }] }), [
      'a',
    ]);
    assert.deepEqual(
      tools('messages', { type: 'content_block_start', content_block: { type: 'tool_use', name: 'b' } }),
      ['b'],
    );
    assert.deepEqual(
      tools('messages', { type: 'message_start', message: { content: [{ type: 'tool_use', name: 'c' }] } }),
      ['c'],
    );
    assert.deepEqual(tools('messages', { content: [{ type: 'new_kind_of_tool' }] }), ['new_kind_of_tool']);
    assert.deepEqual(
      tools('messages', {
        content: [{ type: 'server_tool_use', name: 'web_search' }, { type: 'web_search_tool_result' }],
      }),
      [],
    );
  });

  test('what a provider carries out itself is known from what it is offered', () => {
    assert.deepEqual(
      providerTools('responses', {
        tools: [
          { type: 'function', name: 'a' },
          { type: 'mcp', server_label: 'crm' },
          { type: 'web_search' },
        ],
        prompt: { id: 'pmpt_1' },
      }),
      ['crm', 'web_search', 'prompt pmpt_1'],
    );
    assert.deepEqual(
      providerTools('messages', {
        tools: [
          { name: 'a', input_schema: {} },
          { type: 'bash_20250124', name: 'bash' },
          { type: 'web_search_20250305', name: 'web_search' },
        ],
        mcp_servers: [{ name: 'crm' }],
      }),
      ['web_search', 'crm'],
    );
    assert.deepEqual(
      providerTools('chat_completions', {
        tools: [{ type: 'function', function: {} }],
        web_search_options: {},
      }),
      ['web_search'],
    );
  });
});

test('a recorded call that offers what its provider carries out itself is not asked anew', async () => {
  const model = gatewayModel({
    gatewayUrl: 'http://127.0.0.1:1',
    loop: 'desk',
    run: 'r-1',
    replayId: 'replay-1',
    traceId: '1'.repeat(32),
    key: undefined,
    prices: { costUsd: () => undefined },
    clock: systemClock(),
    guard: toolGuard('desk', SAFE, []),
    providerName: (name) => name,
  });
  const offering = (definitions: object[]) => {
    const input = [text('user', 'go')];
    const toolDefinitions = JSON.stringify(definitions);
    return model({ ...call(input, null, { api: 'responses', toolDefinitions }), input }, undefined);
  };
  const withheld = await offering([{ type: 'mcp', server_label: 'crm', server_url: 'https://crm.example' }]);
  assert.equal(withheld.outcome === 'failed' && withheld.error, 'tool_withheld');
  const asked = await offering([{ type: 'function', name: 'send', parameters: {} }]);
  assert.equal(asked.outcome === 'failed' && asked.error, 'unreachable');
});
