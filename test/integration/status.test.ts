import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { watch } from '../../evals/detect/watch.ts';
import type { LoopStatus, StatusDocument } from '../../src/cli/fleet-report.ts';
import type { Observation } from '../../src/records/observation.ts';
import { appendAlert } from '../../src/store/alerts.ts';
import type { Store } from '../../src/store/client.ts';
import { buffer, runCli } from '../support/cli.ts';
import { insertSpans, type RunFacts, runRows } from '../support/span-rows.ts';
import { startTestStore } from '../support/store.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
let folder: string;
const MINUTE = 60_000;
const now = Date.now();

before(async () => {
  server = await startTestStore();
  folder = mkdtempSync(join(tmpdir(), 'loopscope-status-'));
  mkdirSync(join(folder, 'loops'));
  writeFileSync(
    join(folder, 'loopscope.yaml'),
    `clickhouse: { url: "${server.url}" }\nevals: { run_idle_s: 0.001 }\n`,
  );
  const loops = {
    healthy: '',
    silent: '',
    failing: '',
    late: 'schedule: "0 * * * *"\n',
    never: '',
    learning: '',
  };
  for (const [loop, more] of Object.entries(loops))
    writeFileSync(join(folder, `loops/${loop}.yaml`), `loop: ${loop}\nowner: platform\n${more}`);
  await fill(server.store);
});

after(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** `n` runs a minute apart, the last of them `endedAgo` ago. */
const series = (loop: string, n: number, facts: (i: number) => Partial<RunFacts>, endedAgo = MINUTE) =>
  Array.from({ length: n }, (_, i) => ({
    loop,
    run: `${loop}-${String(i).padStart(4, '0')}`,
    at: now - endedAgo - (n - i) * MINUTE,
    ...facts(i),
  }));

/** Scores that fall until the detector has a tenth of the evidence it needs: the alarm is not there yet. */
const SUSPECT: readonly number[] = (() => {
  const scores = Array.from({ length: 100 }, (_, i) => Number(i % 10 !== 0));
  for (let i = 0; i < 100; i++) {
    const runs = scores.map(
      (score, index): Observation => ({
        index,
        runId: `${index}`,
        at: new Date(index).toISOString(),
        score,
        checkerPass: null,
        effects: 1,
        inputHash: '',
        outputHash: '',
        servedModel: '',
        promptVersion: '',
        toolsVersion: '',
        checkerVersion: '',
        datasetVersion: '',
        task: '',
      }),
    );
    const { eValue, threshold } = watch(runs, { arl: 10_000 }).state;
    if (eValue >= threshold / 10) return scores;
    scores.push(i % 2);
  }
  return assert.fail('a hundred bad scores raise no suspicion');
})();

async function fill(store: Store): Promise<void> {
  const runs: RunFacts[] = [
    ...series('healthy', 80, (i) => ({
      pass: true,
      score: i % 10 === 0 ? 0 : 1,
      effects: [true, false],
      costUsd: 0.01,
    })),
    ...series('silent', 100, (i) => ({
      pass: true,
      score: i < 70 ? 1 : 0,
      servedModel: i < 70 ? 'gpt-4-0314' : 'gpt-4-0613',
    })),
    ...series('failing', 20, (i) => ({ pass: i % 4 === 0, effects: [true] })),
    ...series('late', 60, () => ({ pass: true, score: 1 }), 5 * 60 * MINUTE),
    ...series('learning', 10, () => ({ score: 1 })),
    ...series('stray', 3, () => ({ registered: false })),
    ...series('suspect', SUSPECT.length, (i) => ({ score: SUSPECT[i] })),
  ];
  await insertSpans(store, runs.flatMap(runRows));
  await appendAlert(store, {
    at: now,
    alert: {
      alert_id: 'a1',
      loop: 'silent',
      kind: 'golden_drop',
      state: 'firing',
      started_at: new Date(now - 20 * MINUTE).toISOString(),
      change_at: new Date(now - 31 * MINUTE).toISOString(),
      change_at_run: 70,
      resolved_at: null,
      cause: { dimension: 'model', from: 'gpt-4-0314', to: 'gpt-4-0613' },
      evidence: {
        at_run: 80,
        e_value: 12_345.6,
        threshold: 10_204,
        arl: 10_000,
        golden: { before: 1, after: 0 },
        checker_pass_rate: { before: 1, after: 1 },
        scored: { before: 70, after: 10 },
        look_at: ['silent-0070', 'silent-0071'],
      },
    },
  });
}

const cli = (...argv: string[]) => runCli([...argv, '--config', join(folder, 'loopscope.yaml')]);

async function status(): Promise<Map<string, LoopStatus>> {
  const { stdout } = await cli('status', '--json');
  return new Map((JSON.parse(stdout) as StatusDocument).loops.map((loop) => [loop.loop, loop]));
}

test('each loop is in the state its runs, verdicts, scores and alerts put it in', async () => {
  const states = Object.fromEntries([...(await status())].map(([loop, { state }]) => [loop, state]));
  assert.deepEqual(states, {
    silent: 'silently_failing',
    failing: 'failing',
    suspect: 'suspect',
    late: 'idle',
    never: 'idle',
    learning: 'unmeasured',
    stray: 'unmeasured',
    healthy: 'healthy',
  });
});

test('the worst come first, and a failing loop makes the exit code 1', async () => {
  const { code, stdout } = await cli('status', '--json');
  assert.equal(code, 1);
  const { loops } = JSON.parse(stdout) as StatusDocument;
  assert.deepEqual(
    loops.slice(0, 3).map(({ loop }) => loop),
    ['silent', 'failing', 'suspect'],
  );
  assert.equal(loops.at(-1)!.loop, 'healthy');
  assert.equal((await cli('status', '--loop', 'healthy')).code, 0);
});

test('figures add up, and what nobody said is null', async () => {
  const loops = await status();
  const healthy = loops.get('healthy')!;
  assert.equal(healthy.runs, 80);
  assert.equal(healthy.checker_pass_rate, 1);
  assert.equal(healthy.effects_per_run, 2);
  assert.equal(healthy.effects_rejected, 80);
  assert.ok(Math.abs(healthy.cost_usd! - 0.8) < 1e-9);
  // 72 golden scores pass; effects do not count where a golden score says better.
  assert.equal(healthy.useful_outcomes, 72);
  assert.ok(Math.abs(healthy.cost_per_useful_outcome_usd! - 0.8 / 72) < 1e-9);
  assert.equal(healthy.golden.n, 80);
  assert.ok(Math.abs(healthy.golden.score! - 0.9) < 1e-9);
  assert.ok(healthy.golden.low! > 0.81 && healthy.golden.low! < 0.9 && healthy.golden.high! < 0.96);
  assert.equal(healthy.last_alert, null);

  const failing = loops.get('failing')!;
  assert.equal(failing.useful_outcomes, 20, 'unscored runs count by their accepted effects');
  assert.equal(failing.cost_usd, null);
  assert.equal(failing.calls_without_cost, 20);
  assert.equal(failing.cost_per_useful_outcome_usd, null);
  assert.deepEqual(failing.golden, { score: null, low: null, high: null, n: 0 });
  assert.equal(failing.estimates, null);

  const never = loops.get('never')!;
  assert.deepEqual(
    [never.runs, never.checker_pass_rate, never.effects_per_run, never.cost_usd, never.last_run_at],
    [0, null, null, null, null],
  );
});

test("a silent failure's golden score is that since the change, beside a checker that passes", async () => {
  const silent = (await status()).get('silent')!;
  assert.equal(silent.golden.score, 0);
  assert.equal(silent.golden.n, 30);
  assert.equal(silent.estimates?.success?.estimate, 0);
  assert.equal(silent.estimates?.checker.specificity?.estimate, 0, 'every bad run passed');
  assert.deepEqual(silent.estimates?.counts, {
    runs: 30,
    scored: 30,
    passed: 30,
    failed: 0,
    judged: { good_passed: 0, good_failed: 0, bad_passed: 30, bad_failed: 0 },
  });
  assert.equal(silent.checker_pass_rate, 1);
  assert.deepEqual(silent.served_models, ['gpt-4-0314', 'gpt-4-0613']);
  assert.deepEqual(silent.last_alert, {
    kind: 'golden_drop',
    state: 'firing',
    started_at: new Date(now - 20 * MINUTE).toISOString(),
  });
});

test('a loop that nobody registered is listed and marked', async () => {
  assert.equal((await status()).get('stray')!.registered, false);
  assert.equal((await status()).get('healthy')!.registered, true);
  assert.match((await cli('status')).stdout, /^stray \(unregistered\) +unmeasured/m);
});

test('a terminal gets colours, a pipe and NO_COLOR do not', async () => {
  const terminal = buffer(true);
  await runCli(['status', '--config', join(folder, 'loopscope.yaml')], { stdout: terminal });
  assert.match(terminal.text(), /silently failing/);
  assert.ok(terminal.text().includes('\u001b['));
  assert.ok(!(await cli('status')).stdout.includes('\u001b['));
});

test('a loop that does not exist is told from one without data', async () => {
  const { code, stdout, stderr } = await cli('status', '--loop', 'heathy', '--json');
  assert.equal(code, 1);
  assert.equal(stdout, '');
  assert.match(stderr, /There is no loop "heathy".*Known loops: .*healthy/);
});

test('alerts shows what fell, since when, why and where to look, and exits 1 while one is firing', async () => {
  const { code, stdout } = await cli('alerts');
  assert.equal(code, 1);
  assert.match(stdout, /^firing {2}silent {2}golden_drop a1, raised/);
  assert.match(stdout, /golden +1 → 0 \(mean of 70 scored runs before, 10 since\)/);
  assert.match(stdout, /checker +passes 100 % → 100 % of runs/);
  assert.match(stdout, /cause +model: gpt-4-0314 → gpt-4-0613/);
  assert.match(stdout, /caught +.* UTC, 11 runs later/);
  assert.match(stdout, /loopscope trace silent-0070 --loop silent, and 1 more like it/);
  const json = await cli('alerts', '--loop', 'silent', '--json');
  const { alerts } = JSON.parse(json.stdout);
  assert.equal(alerts.length, 1);
  assert.deepEqual(
    [alerts[0].loop, alerts[0].kind, alerts[0].state, alerts[0].cause.dimension],
    ['silent', 'golden_drop', 'firing', 'model'],
  );
  const none = await cli('alerts', '--loop', 'healthy', '--json');
  assert.deepEqual([none.code, JSON.parse(none.stdout)], [0, { alerts: [] }]);
});
