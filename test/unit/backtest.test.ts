import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backtest, observationsOf } from '../../evals/detect/backtest.ts';
import { seededRandom } from '../../src/clock.ts';
import { sameText } from '../../src/records/golden-score.ts';
import type { RunRecord } from '../../src/records/record.ts';

const at = (minute: number) => new Date(Date.UTC(2023, 5, 1) + minute * 60_000).toISOString();
const record = (n: number, rest: Partial<RunRecord> = {}): RunRecord => ({
  loop: 'primes',
  run: `r-${n}`,
  ts: at(n),
  ...rest,
});

/** 300 runs that are right in .9 of the cases, then 150 in .4, by another model. */
function collapse(loop: string, answer: (right: boolean) => Partial<RunRecord>): RunRecord[] {
  const random = seededRandom(5);
  return Array.from({ length: 450 }, (_, n) => ({
    ...record(n, answer(random() < (n < 300 ? 0.9 : 0.4))),
    loop,
    model: 'gpt',
    served_model: n < 300 ? 'gpt-1' : 'gpt-2',
    checker: { name: 'parses', version: 'v1', pass: true },
  }));
}

test('records are played loop by loop, in order of time, whatever their order in the file', async () => {
  const scored = (right: boolean) => ({ golden: { score: right ? 1 : 0 } });
  const records = [
    ...collapse('zeta', scored),
    ...collapse('alpha', scored).reverse(),
    record(1, { loop: 'empty' }),
  ];
  const { loops } = await backtest(records, { arl: 10_000 });
  assert.deepEqual(
    loops.map(({ loop, runs, alarms }) => [loop, runs, alarms.length]),
    [
      ['alpha', 450, 1],
      ['empty', 1, 0],
      ['zeta', 450, 1],
    ],
  );
  for (const { alarms } of loops)
    for (const alarm of alarms) {
      assert.equal(alarm.kind, 'golden_drop');
      assert.equal(alarm.change_at_run, 300);
      assert.deepEqual(alarm.cause, { dimension: 'model', from: 'gpt-1', to: 'gpt-2' });
      assert.deepEqual(alarm.checker_pass_rate, { before: 1, after: 1 });
    }
  const one = await backtest(records, { arl: 10_000, loop: 'zeta' });
  assert.deepEqual(
    one.loops.map((l) => l.loop),
    ['zeta'],
  );
});

test('answers are scored against what was expected: as text, or by the scorer of the suite', async () => {
  const asText = collapse('plain', (right) => ({
    golden: { expected: 'Yes' },
    output: right ? ' yes\n' : 'no',
  }));
  const bracketed = collapse('bracketed', (right) => ({
    golden: { expected: 'yes' },
    output: right ? 'It is. [Yes]' : 'It is not. [No]',
  }));
  const scorerFor = (loop: string) =>
    loop === 'bracketed'
      ? (output: string, expected: string) =>
          Number(/\[(yes|no)\]/i.exec(output)?.[1]?.toLowerCase() === expected)
      : undefined;
  const { loops } = await backtest([...asText, ...bracketed], { arl: 10_000, scorerFor });
  assert.deepEqual(
    loops.map(({ loop, alarms }) => [loop, alarms.map((a) => a.change_at_run)]),
    [
      ['bracketed', [300]],
      ['plain', [300]],
    ],
  );
});

test('records may come as a stream', async () => {
  async function* stream() {
    yield* collapse('streamed', (right) => ({ golden: { score: right ? 1 : 0 } }));
  }
  const { loops } = await backtest(stream(), { arl: 10_000 });
  assert.equal(loops[0]!.alarms.length, 1);
});

test('a golden score wins over an expected answer, and without an answer there is no score', () => {
  const runs = observationsOf(
    [
      record(0, { golden: { expected: 'yes', score: 0.25 }, output: 'yes' }),
      record(1, { golden: { expected: 'yes' }, output: 'YES' }),
      record(2, { golden: { expected: 'yes' } }),
      record(3, { output: 'yes' }),
    ],
    sameText,
  );
  assert.deepEqual(
    runs.map((r) => r.score),
    [0.25, 1, null, null],
  );
});

test('the versions of a run are those of its record, and what is not there is unknown', () => {
  const [full, bare] = observationsOf(
    [
      record(0, {
        model: 'gpt',
        served_model: 'gpt-1',
        prompt_version: 'p1',
        tools_version: 't1',
        checker: { name: 'parses', version: 'v2', pass: false },
      }),
      record(1, { model: 'gpt' }),
    ],
    sameText,
  );
  assert.deepEqual(
    [full!.servedModel, full!.promptVersion, full!.toolsVersion, full!.checkerVersion, full!.checkerPass],
    ['gpt-1', 'p1', 't1', 'parses@v2', false],
  );
  // Where other records say which model served, the name that was asked for is not taken for it.
  assert.deepEqual([bare!.servedModel, bare!.checkerVersion, bare!.checkerPass], ['', '', null]);
  assert.equal(observationsOf([record(0, { model: 'gpt' })], sameText)[0]!.servedModel, 'gpt');
});

test('the versions are those of the maker, whoever of the run is recorded first', () => {
  const [run] = observationsOf(
    [
      record(0, { agent: 'scout', parent_agent: 'maker', served_model: 'mini-1', prompt_version: 's1' }),
      record(0, { agent: 'maker', served_model: 'gpt-2', prompt_version: 'p2', tools_version: 't2' }),
      record(0, {
        agent: 'reviewer',
        served_model: 'mini-2',
        tools_version: 'r1',
        checker: { name: 'reviewer', version: 'v1', pass: true },
      }),
    ],
    sameText,
  );
  assert.deepEqual([run!.servedModel, run!.promptVersion, run!.toolsVersion], ['gpt-2', 'p2', 't2']);
});

test('of a run that tried again the last try counts', () => {
  const [run] = observationsOf(
    [
      record(1, {
        run: 'r',
        served_model: 'm-2',
        checker: { name: 'c', version: 'v2', pass: true },
        golden: { score: 1 },
      }),
      record(0, {
        run: 'r',
        served_model: 'm-1',
        checker: { name: 'c', version: 'v1', pass: false },
        golden: { score: 0 },
      }),
    ],
    sameText,
  );
  assert.deepEqual(
    [run!.checkerPass, run!.checkerVersion, run!.servedModel, run!.score],
    [true, 'c@v2', 'm-2', 1],
  );
});

test('records of equal time keep their order, offsets count, and the parts of one run are one run', () => {
  const runs = observationsOf(
    [
      record(5, { run: 'b' }),
      record(5, { run: 'c' }),
      record(0, { run: 'a', ts: '2023-06-01T02:01:00+02:00' }),
      record(6, { run: 'b', agent: 'reviewer', golden: { score: 1 } }),
    ],
    sameText,
  );
  assert.deepEqual(
    runs.map((r) => [r.index, r.runId, r.score]),
    [
      [0, 'a', null],
      [1, 'b', 1],
      [2, 'c', null],
    ],
  );
});

test('effects that vanish and answers that collapse are found in records without a golden score', async () => {
  const change = 300;
  const quiet = Array.from({ length: 450 }, (_, n) => ({
    ...record(n, { effects: n < change && n % 3 > 0 ? ['pr_opened'] : [], served_model: 'gpt-1' }),
    loop: 'quiet',
  }));
  const monotone = Array.from({ length: 450 }, (_, n) => ({
    ...record(n, { input: `question ${n}`, output: n < change ? `answer ${n}` : 'I cannot help with that.' }),
    loop: 'monotone',
    served_model: n < change ? 'gpt-1' : 'gpt-2',
  }));
  const { loops } = await backtest([...quiet, ...monotone], { arl: 10_000 });
  assert.deepEqual(
    loops.map(({ loop, alarms }) => [loop, alarms.map((alarm) => [alarm.kind, alarm.golden])]),
    [
      ['monotone', [['output_collapse', { before: null, after: null }]]],
      ['quiet', [['no_effect', { before: null, after: null }]]],
    ],
  );
  const [collapse] = loops[0]!.alarms;
  assert.ok(Math.abs(collapse!.change_at_run - change) <= 2, `${collapse!.change_at_run}`);
  assert.equal(collapse!.cause?.to, 'gpt-2');
});

test('what falls by one change is one alarm, with what else it did in its evidence', async () => {
  const random = seededRandom(6);
  const records = collapse('both', (right) => ({ golden: { score: right ? 1 : 0 } })).map((part, n) => ({
    ...part,
    effects: n < 300 && random() < 0.9 ? ['pr_opened'] : [],
  }));
  const { loops } = await backtest(records, { arl: 10_000 });
  const [alarm, ...more] = loops[0]!.alarms;
  assert.deepEqual(more, []);
  assert.equal(alarm!.kind, 'golden_drop');
  assert.deepEqual(
    alarm!.evidence.joined?.map(({ kind }) => kind),
    ['no_effect'],
  );
});
