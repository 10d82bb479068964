import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

/**
 * The story the demo tells, from a loop's request to the page, as a newcomer runs it. One seed here; all that the
 * README promises (1 to 10) with LOOPSCOPE_LONG=1.
 */
const ROOT = join(import.meta.dirname, '../..');
const PRIMES = join(
  process.env['LOOPSCOPE_TEST_DATA'] ?? join(ROOT, '../shared/data'),
  'llmdrift/PRIME_FULL_EVAL.csv',
);
const LONG = process.env['LOOPSCOPE_LONG'] === '1';
const SEEDS = LONG ? [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] : [1];
const RUNS_OFF_MAX = 15;

interface Outcome {
  alerts: {
    loop: string;
    kind: string;
    state: string;
    change_at_run: number;
    cause: { dimension: string; from: string; to: string } | null;
  }[];
  loops: { loop: string; state: string }[];
  truth: { loop: string; change_at_run: number; from: string; to: string };
}

async function play(args: string[]): Promise<Outcome> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(ROOT, 'demo/main.ts'), '--exit', '--json', ...args],
    { cwd: ROOT, maxBuffer: 16 * 1024 * 1024 },
  );
  return JSON.parse(stdout) as Outcome;
}

function assertOneRightAlert({ alerts, loops, truth }: Outcome): void {
  assert.equal(
    alerts.length,
    1,
    `expected one alert, got ${JSON.stringify(alerts.map((a) => [a.loop, a.kind]))}`,
  );
  const [alert] = alerts;
  assert.equal(alert!.loop, 'dependency-bump');
  assert.equal(alert!.kind, 'golden_drop');
  assert.equal(alert!.state, 'firing');
  assert.deepEqual(alert!.cause, { dimension: 'model', from: truth.from, to: truth.to });
  const off = Math.abs(alert!.change_at_run - truth.change_at_run);
  assert.ok(off <= RUNS_OFF_MAX, `the change is said to be ${off} runs from where it was`);
  assert.equal(loops.length, 11);
  assert.equal(loops.find(({ loop }) => loop === 'dependency-bump')?.state, 'silently_failing');
}

for (const seed of SEEDS)
  test(`the demo ends with one right alert and ten quiet loops (seed ${seed})`, async () => {
    assertOneRightAlert(await play(['--seed', String(seed)]));
  });

const absent = existsSync(PRIMES)
  ? false
  : `${PRIMES} is absent; LOOPSCOPE_TEST_DATA names the folder it is in`;
for (const seed of SEEDS)
  test(`so it does on what GPT-4 really answered (seed ${seed})`, { skip: absent }, async () => {
    const outcome = await play(['--seed', String(seed), '--data', PRIMES]);
    assertOneRightAlert(outcome);
    assert.equal(outcome.truth.from, 'gpt-4-0314');
    assert.equal(outcome.truth.to, 'gpt-4-0613');
  });
