import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createStandingWatch } from '../../evals/standing/watch.ts';
import { UNMEASURED_ALERT_KIND } from '../../evals/unmeasured/alert.ts';
import { systemClock } from '../../src/clock.ts';
import { loadRegistry } from '../../src/registry/load.ts';
import { readMigrations } from '../../src/store/migrate.ts';
import { startTestStore } from '../support/store.ts';

/** How loops stand that the demo does not have: quiet, late, failing, gone. */
type TestStore = Awaited<ReturnType<typeof startTestStore>>;
let clickhouse: TestStore;
const folder = mkdtempSync(join(tmpdir(), 'loopscope-standings-'));

before(async () => {
  await mkdir(join(folder, 'loops'));
  clickhouse = await startTestStore();
});
after(async () => {
  await clickhouse?.close();
  await rm(folder, { recursive: true, force: true });
});

const MINUTE_MS = 60_000;

/** Looks once, and gives what dashboards then read. */
async function look(): Promise<Record<string, Record<string, unknown>>> {
  const standings = createStandingWatch({
    store: clickhouse.store,
    clock: systemClock(),
    config: { evals: { detect_every_s: 1, run_idle_s: 300 } },
    registry: () => loadRegistry(folder),
  });
  await standings.look();
  assert.equal(standings.isDue(), false);
  const rows = await clickhouse.store.query<Record<string, unknown>>('SELECT * FROM loopscope.loop_states');
  return Object.fromEntries(rows.map((row) => [row['loop'], row]));
}

const register = (loop: string, schedule?: string) =>
  writeFileSync(
    join(folder, 'loops', `${loop}.yaml`),
    `loop: ${loop}\nowner: platform\n${schedule ? `schedule: "${schedule}"\n` : ''}`,
  );

test('quiet, late, unmeasured and failing loops have the states that the program gives them', async () => {
  const now = Date.now();
  register('never-ran', '*/5 * * * *');
  register('late', '*/5 * * * *');
  register('on-time', '0 0 1 1 *');
  register('failing', '0 0 1 1 *');
  register('nobody-measures');
  const run = (loop: string, minutesAgo: number, pass: boolean, n = 1) =>
    Array.from({ length: n }, (_, i) =>
      spanOf(loop, `${loop}-${minutesAgo}-${i}`, now - minutesAgo * MINUTE_MS, pass),
    );
  await clickhouse.store.insert('otel_traces', [
    ...run('late', 60, true),
    ...run('on-time', 10, true),
    ...run('failing', 10, false, 6),
    ...run('nobody-measures', 10, true),
    ...run('long-quiet', 10 * 24 * 60, true),
  ]);
  await clickhouse.store.insert('alerts', [
    {
      alert_id: 'u1',
      loop: 'nobody-measures',
      kind: UNMEASURED_ALERT_KIND,
      state: 'firing',
      at: new Date(now).toISOString(),
      started_at: new Date(now).toISOString(),
      change_at: new Date(now).toISOString(),
      change_at_run: 0,
      cause: 'null',
      evidence: '{}',
    },
  ]);
  const standings = await look();
  const states = Object.fromEntries(Object.values(standings).map(({ loop, state }) => [loop, state]));
  assert.equal(states['never-ran'], 'idle');
  assert.equal(states['late'], 'idle');
  assert.equal(states['on-time'], 'unmeasured');
  assert.equal(states['failing'], 'failing');
  assert.equal(states['nobody-measures'], 'unmeasured');
  // Without a schedule and without a score nobody can say that it should have run.
  assert.equal(states['long-quiet'], 'unmeasured');

  const { owner, registered, last_run_at, alert_kind, since } = standings['nobody-measures']!;
  assert.deepEqual([owner, registered, alert_kind, since], ['platform', 1, UNMEASURED_ALERT_KIND, null]);
  assert.ok(Math.abs(Date.parse(`${last_run_at}Z`) - (now - 10 * MINUTE_MS)) < 2);
  assert.deepEqual(
    [standings['never-ran']!['last_run_at'], standings['late']!['golden_score']],
    [null, null],
  );
  assert.equal(standings['long-quiet']!['registered'], 0);
});

test('a loop that is gone from the registry and never ran is gone from the newest look', async () => {
  register('short-lived', '0 0 1 1 *');
  assert.equal((await look())['short-lived']!['state'], 'idle');
  await rm(join(folder, 'loops', 'short-lived.yaml'));
  const standings = await look();
  assert.equal(standings['short-lived'], undefined);
  assert.equal(standings['late']!['state'], 'idle');
});

test('states that were there before the views are told of, and once', async () => {
  const { store } = clickhouse;
  const state = JSON.stringify({ isScored: true, arl: 855, watch: { open: [], levels: {} } });
  await store.insert('detector_states', [{ loop: 'old', stream: 's', revision: 1, version: 2, state }]);
  await store.command('TRUNCATE TABLE loopscope.detector_history');
  const { statements } = readMigrations(store.database).find(({ name }) => name === 'dashboards')!;
  // As a migration that was cut short and begun anew.
  for (const sql of [...statements, ...statements]) await store.command(sql);
  const rows = await store.query<object>(
    "SELECT phase, e_value, threshold, is_scored FROM loopscope.detector_history WHERE loop = 'old'",
  );
  assert.deepEqual(rows, [{ phase: 'learning', e_value: 0, threshold: 1000, is_scored: 1 }]);
});

const spanOf = (loop: string, run: string, at: number, pass: boolean) => ({
  Timestamp: new Date(at).toISOString(),
  TraceId: run,
  SpanId: run,
  SpanAttributes: {
    'loopscope.loop': loop,
    'loopscope.run.id': run,
    'loopscope.record': 'run',
    'loopscope.verdict.pass': String(pass),
  },
});
