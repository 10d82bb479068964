import assert from 'node:assert/strict';
import { test } from 'node:test';
import { areAlike, diffRecordings } from '../../src/replay/diff/diff.ts';
import type { Difference, RunDiff } from '../../src/replay/diff/difference.ts';
import { side } from '../../src/replay/diff/difference.ts';
import type { Recording } from '../../src/replay/recording.ts';
import { call, conversation, recording, statement, type Turn, text, tool } from '../support/recordings.ts';

const opening = [text('system', 'You book flights.'), text('user', 'One to Seattle, please.')];
const turns: Turn[] = [
  {
    answer: 'I look.',
    uses: [{ tool: 'search', arguments: { to: 'SEA' }, result: '[{"flight":"HAT1","price":120}]' }],
  },
  {
    answer: 'I book it.',
    uses: [{ tool: 'book', arguments: { flight: 'HAT1' }, result: '{"ok":true,"seat":"4A"}' }],
  },
  { answer: 'Booked, seat 4A.' },
];
const run = (change: (copy: typeof turns) => void = () => {}, given: Partial<Recording> = {}) => {
  const copy = structuredClone(turns);
  change(copy);
  return conversation(opening, copy, given);
};

const divergence = (diff: RunDiff) => diff.steps[diff.firstDivergence!]!;
const counting = (differences: readonly Difference[]) =>
  differences.filter(({ weight }) => weight === 'counts');
const outcomes = (diff: RunDiff) => diff.steps.map(({ outcome }) => outcome);

test('a run is like itself', () => {
  const diff = diffRecordings(run(), run());
  assert.ok(areAlike(diff));
  assert.deepEqual(outcomes(diff), ['same', 'same', 'same', 'same', 'same']);
});

test("another tool's result is told at the tool, by its path, and not again at the call that was given it", () => {
  const diff = diffRecordings(
    run(),
    run((copy) => {
      copy[1]!.uses![0]!.result = '{"ok":true,"seat":"9F"}';
    }),
  );
  const { aIndex, kind, label, differences } = divergence(diff);
  assert.deepEqual([aIndex, kind, label], [3, 'tool', 'book']);
  assert.deepEqual(differences[0]!.change, {
    kind: 'json',
    more: 0,
    entries: [
      {
        path: ['seat'],
        op: 'changed',
        volatile: false,
        a: '4A',
        b: '9F',
        pieces: [
          ['-', '4A'],
          ['+', '9F'],
        ],
      },
    ],
  });
  assert.deepEqual(outcomes(diff), ['same', 'same', 'same', 'changed', 'carried']);
  assert.equal(diff.firstAction, null);
});

test('another answer is told word by word, and is where the agent first did something else', () => {
  const diff = diffRecordings(
    run(),
    run((copy) => {
      copy[2]!.answer = 'Booked, row 4A.';
    }),
  );
  assert.equal(diff.firstDivergence, 4);
  assert.equal(diff.firstAction, 4);
  assert.deepEqual(divergence(diff).differences[0]!.change, {
    kind: 'text',
    pieces: [
      ['=', 'Booked, '],
      ['-', 'seat'],
      ['+', 'row'],
      ['=', ' 4A.'],
    ],
  });
});

test('another model, prompt or parameter is told once, where it first stood', () => {
  const changed = run();
  for (const step of changed.steps)
    if (step.kind === 'call') {
      step.model = 'gpt-4.1';
      step.parameters = { temperature: 0 };
      step.input = [text('system', 'You book trains.'), ...step.input!.slice(1)];
    }
  const diff = diffRecordings(run(), changed);
  assert.deepEqual(
    counting(divergence(diff).differences).map(({ field, at }) => `${field} ${at}`.trim()),
    ['model', 'parameter temperature', 'input message 1 (system)'],
  );
  assert.deepEqual(outcomes(diff), ['changed', 'same', 'carried', 'same', 'carried']);
  assert.equal(diff.firstAction, null);
});

test('a step that only one of them made is told as that, and what follows is still side by side', () => {
  const longer = run((copy) => {
    copy.splice(1, 0, { answer: 'I check.', uses: [{ tool: 'weather', arguments: {}, result: 'rain' }] });
  });
  const diff = diffRecordings(run(), longer);
  assert.deepEqual(
    diff.steps.map(({ outcome, aIndex, bIndex }) => [outcome, aIndex, bIndex]),
    [
      ['same', 0, 0],
      ['same', 1, 1],
      ['only_b', null, 2],
      ['only_b', null, 3],
      ['carried', 2, 4],
      ['volatile', 3, 5], // the id of the tool's use
      ['same', 4, 6],
    ],
  );
  assert.equal(divergence(diff).label, 'gpt-4o');
  const back = diffRecordings(longer, run());
  assert.deepEqual([back.counts.only_a, back.counts.only_b], [2, 0]);
});

test('sub-agents are told apart by their path, and the first divergence is the first in time', () => {
  const of = (answer: string, sub: string) =>
    recording([
      call({ output: [text('assistant', 'go')] }),
      call({ agent: 'scout', parentAgent: 'maker', role: 'sub', output: [text('assistant', sub)] }),
      call({ output: [text('assistant', answer)] }),
    ]);
  const diff = diffRecordings(of('done', 'three found'), of('gave up', 'none found'));
  assert.deepEqual(divergence(diff).path, ['maker', 'scout']);
  assert.equal(diff.firstDivergence, 1);
  assert.equal(diff.counts.changed, 2);
});

test('ids and times of two runs are told, and count only where that is asked for', () => {
  const at = (run: string, startedAt: number) =>
    run1({ id: run, now: new Date(startedAt + 1000).toISOString() }, startedAt);
  const run1 = ({ id, now }: { id: string; now: string }, startedAt: number) =>
    recording([tool({ callId: `call_${id}`, result: `{"id":"${id}","at":"${now}"}` })], { startedAt });
  const a = at('0b9a6d0c-8f3e-4d0e-9a53-2f1c7b6e5d41', Date.UTC(2026, 0, 1));
  const b = at('f4c1e2b7-1d5a-4b8c-8e6f-90a7d3c25b18', Date.UTC(2026, 5, 1));
  const diff = diffRecordings(a, b);
  assert.ok(areAlike(diff));
  assert.deepEqual(outcomes(diff), ['volatile']);
  assert.ok(!areAlike(diffRecordings(a, b, { all: true })));
});

test('a time that is not of the run and an id that is nearly the same do count', () => {
  const of = (result: string) => recording([tool({ result })]);
  const differ = (a: string, b: string) => !areAlike(diffRecordings(of(a), of(b)));
  assert.ok(differ('leaves 2024-05-15T10:00:00', 'leaves 2024-05-15T11:00:00'));
  assert.ok(
    differ('order 0b9a6d0c-8f3e-4d0e-9a53-2f1c7b6e5d41', 'order 0b9a6d0c-8f3e-4d0e-9a53-2f1c7b6e5d42'),
  );
});

test('an id that stands for another one than before counts', () => {
  const [x1, x2] = ['0b9a6d0c-8f3e-4d0e-9a53-2f1c7b6e5d41', 'aa11bb22-cc33-4d44-8e55-ff6677889900'];
  const [y1, y2] = ['f4c1e2b7-1d5a-4b8c-8e6f-90a7d3c25b18', '52d8a1c9-7e4f-4a6b-b3d0-1c2e3f4a5b6c'];
  const of = (made: string[], used: string) =>
    recording([
      ...made.map((result) => tool({ tool: 'create', result })),
      tool({ tool: 'cancel', arguments: used }),
    ]);
  const a = of([x1!, x2!], x1!);
  assert.ok(areAlike(diffRecordings(a, of([y1!, y2!], y1!))));
  const diff = diffRecordings(a, of([y1!, y2!], y2!));
  assert.equal(divergence(diff).label, 'cancel');
});

test('the order of keys is no difference that counts, nor are blanks in what a model wrote', () => {
  const of = (result: string) => recording([tool({ result })]);
  const written = (args: string) => recording([tool({ arguments: args })]);
  const a = of('{"a":1,"b":[1,2]}');
  assert.deepEqual(outcomes(diffRecordings(a, of('{"b":[1,2],"a":1}'))), ['volatile']);
  assert.deepEqual(outcomes(diffRecordings(a, of('{"a":1,"b":[1, 2]}'))), ['changed']);
  assert.deepEqual(outcomes(diffRecordings(written('{"a":1,"b":2}'), written('{ "b": 2,\n "a": 1 }'))), [
    'volatile',
  ]);
  assert.deepEqual(outcomes(diffRecordings(a, of('{"a":1,"b":[2,1]}'))), ['changed']);
  assert.deepEqual(
    outcomes(diffRecordings(of('{"n":12345678901234567890}'), of('{"n":12345678901234567891}'))),
    ['changed'],
  );
  assert.deepEqual(outcomes(diffRecordings(of('{"a":1,"a":3}'), of('{"a":2,"a":3}'))), ['changed']);
});

test('JSON that is nested beyond all measure is compared as text', () => {
  const of = (core: string) => recording([tool({ result: '['.repeat(50_000) + core + ']'.repeat(50_000) })]);
  assert.deepEqual(outcomes(diffRecordings(of('1'), of('1'))), ['same']);
  assert.deepEqual(outcomes(diffRecordings(of('1'), of('2'))), ['changed']);
  const deep = (core: string) => recording([tool({ result: '['.repeat(900) + core + ']'.repeat(900) })]);
  assert.deepEqual(outcomes(diffRecordings(deep('12'), deep('21'))), ['changed']);
});

test('what was not recorded is said to be unknown, and not to be alike or different', () => {
  const diff = diffRecordings(recording([tool({ result: null })]), recording([tool({ result: 'x' })]));
  assert.ok(areAlike(diff));
  assert.deepEqual(outcomes(diff), ['unknown']);
});

test('verdict, golden score and how a run ended count', () => {
  const of = (pass: boolean, goldenScore: number | null) =>
    recording([statement({ pass })], { verdict: { pass, checker: 'reviewer' }, goldenScore });
  const fields = (a: Recording, b: Recording) => diffRecordings(a, b).run.map(({ field }) => field);
  assert.deepEqual(fields(of(true, 1), of(false, 0)), ['verdict', 'golden_score']);
  assert.deepEqual(fields(of(true, 1), of(true, null)), []);
  assert.equal(diffRecordings(of(true, 1), of(false, 1)).firstAction, 0);
});

test('a history that was cut short in one run is held against the other as a whole', () => {
  const cut = run();
  const last = cut.steps[4]!;
  assert.ok(last.kind === 'call');
  last.input = [last.input![0]!, text('user', 'Summary: a flight was booked.')];
  const diff = diffRecordings(run(), cut);
  assert.equal(diff.firstDivergence, 4);
  const input = divergence(diff).differences.filter(({ field }) => field === 'input');
  const told = (which: 'a' | 'b') =>
    input.map(({ change }) => (change.kind === 'text' ? side(change.pieces, which) : '')).join('\n');
  assert.match(told('a'), /One to Seattle.*HAT1/s);
  assert.match(told('b'), /Summary: a flight/);
});

test('messages that are gone from a history are told, although what is new in it is the same', () => {
  const cut = run();
  const last = cut.steps[4]!;
  assert.ok(last.kind === 'call');
  last.input = last.input!.filter((_, place) => place !== 1 && place !== 2);
  const diff = diffRecordings(run(), cut);
  assert.equal(diff.firstDivergence, 4);
  assert.deepEqual(
    counting(divergence(diff).differences).map(({ at }) => at),
    ['message 2 (user)', 'message 3 (assistant)', 'message 3 (assistant), tool_call search'],
  );
});

test('a run that goes quite another way is still paired in order, within bounds', () => {
  const many = (seed: string) =>
    conversation(
      opening,
      Array.from({ length: 800 }, (_, i) => ({
        answer: `${seed} ${i}`,
        uses: [{ tool: i % 3 === 0 ? 'search' : 'book', arguments: { [seed]: i }, result: `${seed}${i}` }],
      })),
    );
  const diff = diffRecordings(many('here'), many('there'));
  assert.equal(diff.firstDivergence, 0);
  assert.equal(diff.counts.changed, 1600);
});
