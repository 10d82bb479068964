import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { labelAccess } from '../../evals/labels/access.ts';
import { agreementByLoop } from '../../evals/labels/agreement.ts';
import { budgetAt, isTime } from '../../evals/labels/draw.ts';
import { answerOf, keysOf, readLine } from '../../src/cli/label-keys.ts';
import { type Shown, screen } from '../../src/cli/label-screen.ts';
import { loadConfig } from '../../src/config.ts';
import type { LoopscopeError } from '../../src/errors.ts';
import type { Label } from '../../src/store/labels.ts';

const DAY_MS = 86_400_000;

test('a budget starts full, fills up by a day a day, and holds no more than a day', () => {
  assert.equal(budgetAt(0, 10, undefined), 10);
  assert.equal(budgetAt(DAY_MS / 2, 10, { at: 0, budgetLeft: 1 }), 6);
  assert.equal(budgetAt(5 * DAY_MS, 10, { at: 0, budgetLeft: 1 }), 10);
  assert.equal(budgetAt(0, 10, { at: 5, budgetLeft: 3 }), 3, 'a clock that was set back takes nothing away');
  assert.equal(budgetAt(DAY_MS, 5, { at: 0, budgetLeft: 9 }), 5, 'a smaller budget is in force at once');
});

test('runs are drawn from when there is a label for each, or half a day of labels for all', () => {
  assert.equal(isTime(0, 10, 10), false);
  assert.equal(isTime(3, 3, 10), true);
  assert.equal(isTime(4, 3, 10), false);
  assert.equal(isTime(1_000, 5, 10), true);
  assert.equal(isTime(1_000, 0.5, 1), true);
  assert.equal(isTime(1_000, 0.4, 1), false);
});

test('in any span of days, a day more of labels is asked for at most', () => {
  // A run a minute, looked at every quarter of an hour, for ten days.
  let last: { at: number; budgetLeft: number } | undefined;
  let waiting = 0;
  const spent: number[] = [];
  for (let at = 0; at < 10 * DAY_MS; at += 15 * 60_000) {
    waiting += 15;
    const budget = budgetAt(at, 10, last);
    const draws = isTime(waiting, budget, 10);
    spent.push(draws ? Math.min(budget, waiting) : 0);
    if (!draws) continue;
    last = { at, budgetLeft: budget - Math.min(budget, waiting) };
    waiting = 0;
  }
  const perDay = DAY_MS / (15 * 60_000);
  for (const days of [1, 2, 5])
    for (let from = 0; from + days * perDay <= spent.length; from++) {
      const asked = spent.slice(from, from + days * perDay).reduce((a, b) => a + b, 0);
      assert.ok(asked <= 10 * (days + 1), `${asked} in ${days} days`);
    }
  const total = spent.reduce((a, b) => a + b, 0);
  assert.ok(total > 95 && total <= 110, String(total));
});

const label = (run_id: string, rater: string, score: number, loop = 'l'): Label => ({
  loop,
  run_id,
  rater,
  score,
  comment: '',
  probability: null,
  labelled_at: 0,
});

test('agreement is told by pairs of raters, with the runs on which they differ', () => {
  const labels = [
    ...['a', 'b', 'c', 'd'].map((run) => label(run, 'ann', run === 'd' ? 0 : 1)),
    ...['a', 'b', 'c', 'd'].map((run) => label(run, 'bob', run < 'c' ? 0.8 : 0.1)),
    label('e', 'eve', 1),
    label('x', 'ann', 1, 'other'),
  ];
  const [l, other] = agreementByLoop(labels);
  assert.equal(l?.labelled, 5);
  assert.equal(l?.compared, 4);
  // Pass and pass twice, pass and fail once, fail and fail once: p_o = .75, κ's p_e = .5 and AC1's 2 · .625 · .375.
  assert.deepEqual(l?.pairs, [
    { raters: ['ann', 'bob'], runs: 4, agreed: 3, kappa: 0.5, ac1: (0.75 - 0.46875) / (1 - 0.46875) },
  ]);
  assert.deepEqual(l?.disagreements, [
    {
      loop: 'l',
      run: 'c',
      labels: [
        { rater: 'ann', score: 1, comment: '' },
        { rater: 'bob', score: 0.1, comment: '' },
      ],
    },
  ]);
  assert.deepEqual(other, {
    loop: 'other',
    labelled: 1,
    compared: 0,
    alpha: null,
    pairs: [],
    disagreements: [],
  });
});

test('where chance explains everything, agreement cannot be said, and is not 0', () => {
  const [all] = agreementByLoop([label('a', 'ann', 1), label('a', 'bob', 1)]);
  assert.deepEqual(all?.pairs, [{ raters: ['ann', 'bob'], runs: 1, agreed: 1, kappa: null, ac1: 1 }]);
  assert.equal(all?.alpha, null);
});

async function keys(...chunks: (string | Uint8Array)[]): Promise<string[]> {
  const read: string[] = [];
  for await (const key of keysOf(Readable.from(chunks))) read.push(key);
  return read;
}

test('keys are read one by one, an arrow is one key, and a character may come in pieces', async () => {
  assert.deepEqual(await keys('yn', '\u001b[A7', '\u001bOB', '\u001b'), [
    'y',
    'n',
    '\u001b[A',
    '7',
    '\u001bOB',
    '\u001b',
  ]);
  const e = new TextEncoder().encode('é');
  assert.deepEqual(await keys(e.subarray(0, 1), e.subarray(1)), ['é']);
  assert.deepEqual(['y', 'n', '7', 's', '\u0003', '\u001b[A', undefined].map(answerOf), [
    { kind: 'score', score: 1 },
    { kind: 'score', score: 0 },
    { kind: 'score', score: 0.7 },
    { kind: 'skip' },
    { kind: 'quit' },
    { kind: 'unknown' },
    { kind: 'quit' },
  ]);
});

test('a line ends with Enter, is corrected by Backspace and given up by Escape', async () => {
  const read = (text: string) => readLine(keysOf(Readable.from([text])), () => {});
  assert.equal(await read('wromg\u007f\u007fng\u001b[A!\r'), 'wrong!');
  assert.equal(await read('never mind\u001b'), undefined);
  assert.equal(await read('cut off'), undefined);
  assert.equal((await read(`${'x'.repeat(3_000)}\r`))?.length, 2_000);
});

const HOSTILE = 'ok\u001b[2J\u001b]52;c;cHduZWQ=\u0007\r\nnext\u009b31m\u202egnp\ttab\rover';

test('what a run says cannot steer the terminal, and its verdict is hidden until asked for', () => {
  const shown: Shown = {
    entry: { loop: 'l', run_id: 'r', probability: 1, asked_at: 0, raters: ['bob'] },
    run: {
      loop: 'l',
      runId: `r\u001b[1m`,
      traceId: 't',
      startedAt: 0,
      state: 'ended',
      servedModel: 'm\u0007',
      checkerName: 'c\u001b[0m',
      checkerPass: false,
      effects: 1,
      input: HOSTILE,
      output: 'x'.repeat(20_001),
      expected: HOSTILE,
    },
    n: 1,
    of: 2,
    showVerdict: false,
  };
  const plain = (_: unknown, text: string) => text;
  const lines = screen(shown, plain);
  for (const line of [...lines, ...screen({ ...shown, showVerdict: true }, plain)])
    assert.doesNotMatch(line, /[\p{Cc}\p{Bidi_Control}]/u);
  assert.match(lines[0]!, /^── 1 of 2 · l r.*1 effect · second opinion$/);
  assert.ok(lines.includes('  next\ufffd31m\ufffdgnp    tab'));
  assert.ok(lines.includes('  … and 1 more characters'));
  assert.doesNotMatch(lines.join('\n'), /checker|fail/);
  assert.match(screen({ ...shown, showVerdict: true }, plain).join('\n'), /checker\n {2}fail \(c/);
  const hidden = screen(
    { ...shown, run: { ...shown.run, input: null, output: null, expected: null } },
    plain,
  );
  assert.equal(hidden.filter((line) => line.includes('not kept')).length, 2);
  assert.doesNotMatch(hidden.join('\n'), /expected/);
});

const admitted = (
  access: ReturnType<typeof labelAccess>,
  address: string,
  headers: Record<string, string>,
): string => {
  try {
    access({ address, headers: { host: '127.0.0.1:4320', ...headers } });
    return 'admitted';
  } catch (error) {
    return (error as LoopscopeError).code;
  }
};

test('without a token only programs of this machine label', () => {
  const access = labelAccess({ token: undefined, token_env: undefined });
  for (const address of ['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1'])
    assert.equal(admitted(access, address, {}), 'admitted', address);
  for (const address of ['10.0.0.1', '::ffff:10.0.0.1', '128.0.0.1', '', '127.0.0.1.example', 'fe80::1'])
    assert.equal(admitted(access, address, {}), 'loopback_only', address);
  for (const host of ['localhost:4320', '[::1]:4320', '127.0.0.1'])
    assert.equal(admitted(access, '127.0.0.1', { host }), 'admitted', host);
  const foreign: Record<string, string>[] = [
    { host: 'rebound.example:4320' },
    { host: 'localhost.rebound.example' },
    { host: '' },
    { origin: 'https://page.example' },
    { origin: 'null' },
    { 'x-forwarded-for': '10.0.0.1' },
    { forwarded: 'for=10.0.0.1' },
    { via: '1.1 proxy' },
  ];
  for (const headers of foreign)
    assert.equal(admitted(access, '127.0.0.1', headers), 'loopback_only', JSON.stringify(headers));
});

test('the token comes from the variable that the settings name', () => {
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-labels-'));
  const file = join(folder, 'loopscope.yaml');
  writeFileSync(file, 'evals: { token_env: LABELS_TOKEN }');
  try {
    assert.equal(loadConfig(file, { LABELS_TOKEN: 'secret' }).evals.token, 'secret');
    assert.equal(loadConfig(file, { LABELS_TOKEN: '' }).evals.token, undefined);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('with a token whoever shows it labels, from wherever, and nobody else', () => {
  const access = labelAccess({ token: 'secret', token_env: 'T' });
  assert.equal(admitted(access, '10.0.0.1', { authorization: 'Bearer secret' }), 'admitted');
  for (const authorization of ['', 'Bearer', 'Bearer wrong', 'Basic secret', 'Bearer secret2'])
    assert.equal(admitted(access, '127.0.0.1', { authorization }), 'token_invalid', authorization);
  assert.throws(() => labelAccess({ token: undefined, token_env: 'T' }), { code: 'config_invalid' });
});
