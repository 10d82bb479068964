import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Cron } from 'croner';
import { UNMEASURED_ALERT_KIND } from '../../evals/unmeasured/alert.ts';
import { readMigrations } from '../../src/store/migrate.ts';
import { startTestStore } from '../support/store.ts';

/** The views of dashboards where the demo has nothing to say: schedules of all kinds, and loops that are quiet. */
type TestStore = Awaited<ReturnType<typeof startTestStore>>;
let clickhouse: TestStore;

before(async () => {
  clickhouse = await startTestStore();
});
after(() => clickhouse?.close());

const PATTERNS = [
  '* * * * *',
  '*/5 * * * *',
  '*/7 * * * *',
  '0 */2 * * *',
  '15,45 9-17 * * 1-5',
  '0 6 * * 2',
  '0 6 * * TUE',
  '30 5 * * *',
  '0 8 1 * *',
  '0 8 31 * *',
  '0 0 1 1 *',
  '0 0 29 2 *',
  '0 12 1-7 * MON',
  '0 12 13 * FRI',
  '0 9 * JAN-MAR 1',
  '59 23 * * 0',
  '59 23 * * 7',
  '10 1-23/3 * * *',
  '0 6 10-20/5 * *',
  '@hourly',
  '@daily',
  '@weekly',
  '@monthly',
  '  0   6  *  * 5 ',
];

const MINUTE_MS = 60_000;

test('schedules are due when the program says', async () => {
  const { store } = clickhouse;
  await register(PATTERNS.map((schedule, i) => ({ loop: `cron-${i}`, schedule })));
  const rows = await store.query<{ loop: string; now: number; due: number | null; before: number | null }>(
    `SELECT loop, toUnixTimestamp(now()) * 1000 AS now, toUnixTimestamp(due_at) * 1000 AS due,
            toUnixTimestamp(due_before_at) * 1000 AS before
     FROM loopscope.loop_schedules WHERE startsWith(loop, 'cron-')`,
  );
  assert.equal(rows.length, PATTERNS.length);
  for (const { loop, now, due, before } of rows) {
    const pattern = PATTERNS[Number(loop.slice('cron-'.length))]!;
    const cron = new Cron(pattern, { paused: true, timezone: 'UTC' });
    const expected = cron.previousRuns(2, new Date(now)).map((date) => date.getTime());
    // A day that comes once in four years is not looked for.
    const known = expected.filter((at) => now - at < 799 * 86_400_000);
    assert.deepEqual(
      [due, before].filter((at) => at !== null),
      known,
      `${pattern} at ${new Date(now).toISOString()}`,
    );
  }
});

test('a schedule in words that are not read has no times, and its loop is never late by it', async () => {
  await register([{ loop: 'last-friday', schedule: '0 6 * * 5L' }]);
  const [row] = await clickhouse.store.query<{ due_at: string | null; due_before_at: string | null }>(
    "SELECT due_at, due_before_at FROM loopscope.loop_schedules WHERE loop = 'last-friday'",
  );
  assert.deepEqual(row, { due_at: null, due_before_at: null });
});

test('quiet, late, unmeasured and failing loops have the states that the program gives them', async () => {
  const now = Date.now();
  await register([
    { loop: 'never-ran', schedule: '*/5 * * * *' },
    { loop: 'late', schedule: '*/5 * * * *' },
    { loop: 'on-time', schedule: '0 0 1 1 *' },
    { loop: 'failing', schedule: '0 0 1 1 *' },
    { loop: 'nobody-measures' },
  ]);
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
  const rows = await clickhouse.store.query<{ loop: string; state: string }>(
    'SELECT loop, state FROM loopscope.loop_states',
  );
  const states = Object.fromEntries(rows.map(({ loop, state }) => [loop, state]));
  assert.equal(states['never-ran'], 'idle');
  assert.equal(states['late'], 'idle');
  assert.equal(states['on-time'], 'unmeasured');
  assert.equal(states['failing'], 'failing');
  assert.equal(states['nobody-measures'], 'unmeasured');
  // Without a schedule and without a score nobody can say that it should have run.
  assert.equal(states['long-quiet'], 'unmeasured');
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

async function register(loops: readonly { loop: string; schedule?: string }[]): Promise<void> {
  await clickhouse.store.insert(
    'registry_versions',
    loops.map((definition) => ({
      loop: definition.loop,
      version: '1',
      content: JSON.stringify({ owner: 'platform', ...definition }),
      seen_at: new Date().toISOString(),
    })),
  );
}

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
