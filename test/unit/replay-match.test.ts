import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LoopscopeError } from '../../src/errors.ts';
import { matcher } from '../../src/replay/play/match.ts';
import { normaliser, readRule } from '../../src/replay/play/normalise.ts';
import type { FreshCall } from '../../src/replay/play/ports.ts';
import type { Message, ModelCall } from '../../src/replay/recording.ts';
import { asks, call, recordingOf, text, toolCall, toolResult } from '../support/replay.ts';

const fresh = (input: Message[], more: Partial<ModelCall> = {}) => call(input, null, more) as FreshCall;

describe('normalising', () => {
  const n = normaliser();
  const same = (a: Message[], b: Message[], rules = n) =>
    assert.equal(rules.call(fresh(a)), rules.call(fresh(b)));
  const other = (a: Message[], b: Message[]) => assert.notEqual(n.call(fresh(a)), n.call(fresh(b)));

  test('times, ids, the order of keys and white space do not tell calls apart', () => {
    same(
      [text('user', 'It is 2026-11-27T05:01:33Z.')],
      [text('user', 'It is 2026-11-28T09:00:00.123+01:00.')],
    );
    same(
      [text('user', 'job 7d444840-9dc0-11d1-b245-5ffdce74fad2')],
      [text('user', 'job   0a1b2c3d-9dc0-11d1-b245-5ffdce74fad2 ')],
    );
    same(
      [asks(toolCall('call_a', 'f', '{"a":1,"b":{"c":2,"d":3}}')), toolResult('call_a', '{"x":1, "y":2}')],
      [
        asks(toolCall('call_b', 'f', '{"b": {"d": 3, "c": 2}, "a": 1}')),
        toolResult('call_b', '{"y":2,"x":1}'),
      ],
    );
    // As an object, as Anthropic has it, and as a text, as OpenAI has it.
    same(
      [asks({ type: 'tool_call', id: '1', name: 'f', arguments: { a: 1 } })],
      [asks(toolCall('2', 'f', '{"a":1}'))],
    );
  });

  test('an id stays the one that it is: what referred to the first may not refer to the second', () => {
    const two = (first: string, second: string) => [
      asks(toolCall('call_1', 'f', '{}'), toolCall('call_2', 'f', '{}')),
      toolResult(first, 'one'),
      toolResult(second, 'two'),
    ];
    other(two('call_1', 'call_2'), two('call_2', 'call_1'));
    const uuid = (x: string) => `${x.repeat(8)}-9dc0-11d1-b245-5ffdce74fad2`;
    other(
      [text('user', `${uuid('a')} ${uuid('b')} ${uuid('a')}`)],
      [text('user', `${uuid('a')} ${uuid('b')} ${uuid('b')}`)],
    );
  });

  test('what means something is not volatile', () => {
    other([text('user', 'a flight on 2024-05-20')], [text('user', 'a flight on 2024-05-21')]);
    other([text('user', 'call_customer_now_please')], [text('user', 'call_customer_not_please')]);
    other([text('user', 'order 12345678')], [text('user', 'order 12345679')]);
    other([asks(toolCall('1', 'read', '{}'))], [asks(toolCall('1', 'write', '{}'))]);
    other([text('user', 'a')], [text('system', 'a')]);
    assert.notEqual(
      n.call(fresh([text('user', 'a')], { parameters: { temperature: 0 } })),
      n.call(fresh([text('user', 'a')], { parameters: { temperature: 1 } })),
    );
  });

  test('a rule of one’s own makes more volatile', () => {
    const more = normaliser([readRule('ticket=TICKET-\\d+')]);
    same([text('user', 'see TICKET-12')], [text('user', 'see TICKET-9')], more);
    for (const bad of ['ticket', '=x', 'x=', 'x=(', 'x=a*'])
      assert.throws(() => readRule(bad), LoopscopeError, bad);
  });

  test('names of objects’ members are just names', () => {
    const hostile = '{"__proto__":{"polluted":1},"constructor":2}';
    n.value(hostile);
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
    assert.notEqual(n.value(hostile), n.value('{}'));
  });
});

describe('matching', () => {
  const ask = (topic: string, more: Partial<ModelCall> = {}) =>
    call([text('user', `Tell me of ${topic}`)], [text('assistant', topic)], more);

  test('each recorded call is met once, in order among equals', () => {
    const first = call([text('user', 'again')], [text('assistant', 'one')]);
    const second = call([text('user', 'again')], [text('assistant', 'two')]);
    const { match, unmet } = matcher(recordingOf([first, second]), { strict: true });
    const said = () => {
      const found = match(fresh([text('user', 'again')]));
      return found.outcome === 'matched' ? found.recorded.output?.[0]?.parts[0]?.['content'] : found.outcome;
    };
    assert.deepEqual([said(), said(), said()], ['one', 'two', 'unmatched']);
    assert.deepEqual(unmet(), []);
  });

  test('of equal calls an agent meets its own', () => {
    const { match } = matcher(recordingOf([ask('x', { agent: 'a' }), ask('x', { agent: 'b' })]));
    const found = match(fresh([text('user', 'Tell me of x')], { agent: 'b' }));
    assert.equal(found.outcome === 'matched' && found.recorded.agent, 'b');
  });

  test('nearly the same is near, with what differs; strict it is unmatched, with the nearest', () => {
    const calls = [ask('the state of order seven today'), ask('quite another thing that nobody asked')];
    const asked = fresh([text('user', 'Tell me of the state of order eight today')], { model: 'gpt-5' });
    const near = matcher(recordingOf(calls)).match(asked);
    assert.equal(near.outcome, 'near');
    assert.deepEqual(near.outcome === 'near' && near.differences, [
      'model: recorded gpt-4o, now gpt-5',
      'part 1 (user): recorded "… the state of order seven today", now "… the state of order eight today"',
    ]);
    const strict = matcher(recordingOf(calls), { strict: true });
    const unmatched = strict.match(asked);
    assert.equal(unmatched.outcome, 'unmatched');
    assert.equal(
      unmatched.outcome === 'unmatched' && unmatched.nearest?.output?.[0]?.parts[0]?.['content'],
      'the state of order seven today',
    );
    assert.equal(strict.unmet().length, 2, 'what was not met can still be');
  });

  test('a long history does not make up for another newest part', () => {
    const history = Array.from({ length: 40 }, (_, i) => text('user', `message ${i}`));
    const recorded = call([...history, text('user', 'Close the ticket now')], [text('assistant', 'x')]);
    const { match } = matcher(recordingOf([recorded]));
    assert.equal(match(fresh([...history, text('user', 'Something else entirely')])).outcome, 'unmatched');
  });
});
