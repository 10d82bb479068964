import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { anthropic } from '../../src/gateway/anthropic.ts';
import { requestHeaders, responseHeaders } from '../../src/gateway/headers.ts';
import { openai } from '../../src/gateway/openai.ts';
import { openTap } from '../../src/gateway/tap/open.ts';
import { readVerdict } from '../../src/gateway/verdict.ts';
import { LIMITS } from '../../src/span/limits.ts';
import { chatCompletion, sse } from '../support/scripted-provider.ts';

test('a verdict is read by its rule, through code fences and prose, and is otherwise unknown', () => {
  const rule = { json: '$.result.ok' };
  assert.equal(readVerdict(rule, '{"result":{"ok":true}}'), true);
  assert.equal(readVerdict(rule, 'Sure!\n```json\n{"result": {"ok": false}}\n```\nDone.'), false);
  for (const answer of ['', 'yes', '{"result":{"ok":"true"}}', '{"result":null}', '{"ok":true}', '{'])
    assert.equal(readVerdict(rule, answer), undefined, answer);
  assert.equal(readVerdict({ json: '$.constructor.name' }, '{}'), undefined);
  assert.equal(readVerdict({ regex: '^PASS' }, 'PASS: fine'), true);
  assert.equal(readVerdict({ regex: '^PASS' }, 'no PASS'), false);
});

test('headers of the connection, ours and virtual keys do not cross; the rest does, in order', () => {
  const raw = [
    'Host',
    'gw',
    'Connection',
    'keep-alive, X-Hop',
    'X-Hop',
    '1',
    'X-Loop-Run',
    'r',
    'x-loop',
    'l',
  ].concat([
    'Authorization',
    'Bearer lsk_x',
    'Content-Length',
    '2',
    'TE',
    'trailers',
    'Accept',
    'a',
    'X-Loopy',
    'y',
  ]);
  assert.deepEqual(requestHeaders(raw, openai, 'sk-ours'), [
    'Accept',
    'a',
    'X-Loopy',
    'y',
    'authorization',
    'Bearer sk-ours',
  ]);
  const own = ['x-api-key', 'sk-mine', 'authorization', 'Bearer lsk_x'];
  assert.deepEqual(requestHeaders(own, anthropic, undefined), ['x-api-key', 'sk-mine']);
  // The gateway's key takes the place of every other, and where a provider needs none nobody's goes there.
  const others = ['api-key', 'azure', 'x-api-key', 'sk-mine', 'accept', 'a'];
  assert.deepEqual(requestHeaders(others, openai, 'sk-ours'), [
    'accept',
    'a',
    'authorization',
    'Bearer sk-ours',
  ]);
  assert.deepEqual(requestHeaders(others, openai, ''), ['accept', 'a']);
  assert.deepEqual(
    responseHeaders(
      ['Transfer-Encoding', 'chunked', 'Set-Cookie', 'a', 'Set-Cookie', 'b', 'x-loopscope-run', 'spoof'],
      { 'x-loopscope-run': 'r', 'x-loopscope-trace': 't' },
    ),
    ['Set-Cookie', 'a', 'Set-Cookie', 'b', 'x-loopscope-run', 'r', 'x-loopscope-trace', 't'],
  );
});

const chat = openai.operation('POST', '/chat/completions')!;
const messages = anthropic.operation('POST', '/v1/messages')!;

const tapOf = (contentType: string, contentEncoding = '', status = 200) =>
  openTap({ protocol: openai, operation: chat, content: true, status, contentType, contentEncoding });

test('an empty key header is no key: the configured one goes in its place', () => {
  const raw = ['x-api-key', 'lsk_a', 'authorization', '', 'accept', '*/*'];
  assert.deepEqual(requestHeaders(raw, anthropic, 'sk-ant'), ['accept', '*/*', 'x-api-key', 'sk-ant']);
  assert.deepEqual(requestHeaders(['Authorization', ''], openai, undefined), ['Authorization', '']);
});

test('choices and blocks of one stream share the room for content; usage and end are read past it', () => {
  const kept = (messages: object) => JSON.stringify(messages).replaceAll(/[^XYZ]/g, '').length;
  const stream = chat.readStream(1_000);
  for (let index = 0; index < 100; index++) {
    const call = { index: 0, id: 'Y'.repeat(50), function: { name: 'Z'.repeat(50), arguments: 'Y' } };
    const delta = { content: 'X'.repeat(50), tool_calls: [call] };
    const choices = [{ index, delta, finish_reason: 'stop' }];
    stream.event(JSON.stringify({ choices, usage: { completion_tokens: index } }));
  }
  assert.ok(kept(stream.facts().messages()) <= 1_000);
  assert.equal(stream.facts().usage.outputTokens, 99);
  assert.equal(stream.facts().complete, true);

  const message = messages.readStream(1_000);
  const event = (data: object) => message.event(JSON.stringify(data));
  for (let index = 0; index < 100; index++) {
    const block = { type: 'web_search_tool_result', content: 'Y'.repeat(200) };
    event({ type: 'content_block_start', index: 2 * index, content_block: block });
    event({ type: 'content_block_start', index: 2 * index + 1, content_block: { type: 'text', text: '' } });
    event({ type: 'content_block_delta', index: 2 * index + 1, delta: { text: 'X'.repeat(50) } });
  }
  event({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 7 } });
  event({ type: 'message_stop' });
  assert.ok(
    kept(
      message
        .facts()
        .messages()
        .map((m) => m.parts.map((p) => p['content'])),
    ) <= 1_000,
  );
  assert.equal(message.facts().usage.outputTokens, 7);
  assert.equal(message.facts().complete, true);
});

test('an answer larger than the limit is not read, plain or inflated', async () => {
  const big = Buffer.from(JSON.stringify(chatCompletion('x'.repeat(LIMITS.tapBytesMax))));
  for (const [bytes, encoding] of [
    [big, ''],
    [gzipSync(big), 'gzip'],
  ] as const) {
    const tap = tapOf('application/json', encoding);
    tap.write(bytes);
    assert.deepEqual(await tap.end(), { skipped: 'too_large' });
  }
});

test('a compressed stream that is cut is read as far as it came', async () => {
  const chunk = {
    id: 'c',
    model: 'm',
    choices: [{ index: 0, delta: { content: 'half' }, finish_reason: null }],
  };
  const noise = Array.from({ length: 2_000 }, (_, i) => ({ ...chunk, id: `c${Math.sin(i)}` }));
  const whole = gzipSync(sse(chunk, ...noise));
  const tap = tapOf('text/event-stream', 'gzip');
  tap.write(whole.subarray(0, whole.length >> 1));
  const { answer } = await tap.end();
  assert.match(answer!.text, /^half/);
  assert.equal(answer!.complete, false);
});

test('an encoding or a body that cannot be read is counted, not guessed', async () => {
  const strange = tapOf('application/json', 'gzip, br');
  strange.write(Buffer.from('??'));
  assert.deepEqual(await strange.end(), { skipped: 'encoding' });
  const html = tapOf('application/json');
  html.write(Buffer.from('<html>'));
  assert.deepEqual(await html.end(), { skipped: 'malformed' });
  const lies = tapOf('application/json', 'gzip');
  lies.write(Buffer.from('{"not":"gzip"}'));
  assert.equal((await lies.end()).skipped, 'malformed');
});
