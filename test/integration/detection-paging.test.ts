import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { seededRandom, systemClock } from '../../src/clock.ts';
import { listAlerts } from '../../src/store/alerts.ts';
import { insertTestScores, startDetection } from '../support/detection.ts';
import { insertRuns } from '../support/eval-runs.ts';
import { startTestStore } from '../support/store.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const clock = systemClock();
const T0 = Date.parse('2026-01-05T00:00:00Z');
/** Of a fleet's picked loops next to none may be false: no evidence of these few runs is enough. */
const NEXT_TO_NONE = 1e-60;

async function play(loop: string, from: number, rates: readonly number[], seed: number): Promise<void> {
  const random = seededRandom(seed);
  const run = (i: number) => `r-${String(from + i).padStart(5, '0')}`;
  await insertRuns(
    server.store,
    rates.map((_, i) => ({
      loop,
      run: run(i),
      at: T0 + (from + i) * 1000,
      input: `${i}`,
      output: `${from + i}`,
    })),
  );
  await insertTestScores(
    server.store,
    rates.map((rate, i) => ({ loop, run: run(i), score: random() < rate ? 1 : 0 })),
  );
}
const rates = (n: number, rate: number) => Array.from({ length: n }, () => rate);
const states = async (loop: string) => (await listAlerts(server.store, { loop })).map(({ state }) => state);

test('an alarm waits until its loop stands out, across a restart, and is told with what was known at the alarm', async () => {
  await play('held', 0, [...rates(150, 0.95), ...rates(40, 0.3)], 1);
  const strict = startDetection(server.store, clock, NEXT_TO_NONE);
  assert.equal(await strict.look(), 0);
  assert.match(strict.metrics.render(), /alarms_held 1/);
  assert.deepEqual(await states('held'), []);

  const lenient = startDetection(server.store, clock);
  assert.equal(await lenient.look(), 1);
  assert.equal(lenient.rowsTold(), 0, 'what is held was stored');
  const [alert] = await listAlerts(server.store, { loop: 'held' });
  assert.equal(alert!.state, 'firing');
  assert.ok(Math.abs(alert!.change_at_run - 150) <= 15, String(alert!.change_at_run));
  assert.match(lenient.metrics.render(), /alarms_held 0/);
});

test('an alarm whose loop recovers before it stands out is nobody told of, and counted', async () => {
  const detection = startDetection(server.store, clock, NEXT_TO_NONE);
  await play('passing', 0, [...rates(150, 0.95), ...rates(40, 0.3)], 2);
  await detection.look();
  await play('passing', 190, rates(150, 0.95), 3);
  await detection.look();
  assert.match(detection.metrics.render(), /alarms_passed_total\{loop="passing",kind="golden_drop"\} 1/);
  assert.deepEqual(await states('passing'), []);
  await startDetection(server.store, clock).look();
  assert.deepEqual(await states('passing'), []);
});

test('an episode that was over before anybody looked is told as such when it stood out at its alarm', async () => {
  await play('over', 0, [...rates(150, 0.95), ...rates(40, 0.1), ...rates(150, 0.95)], 4);
  await startDetection(server.store, clock, 0.5).look();
  assert.deepEqual(await states('over'), ['resolved']);
  const rows = await server.store.query<{ state: string }>(
    "SELECT state FROM loopscope.alerts WHERE loop = 'over' ORDER BY at, state",
  );
  assert.deepEqual(
    rows.map(({ state }) => state),
    ['firing', 'resolved'],
  );
});

test('two hundred runs after an alarm its moment is judged again, once, and nobody is told', async () => {
  const detection = startDetection(server.store, clock);
  await play('judged', 0, [...rates(150, 0.95), ...rates(60, 0.5)], 5);
  assert.equal(await detection.look(), 1);
  const judgedAt = async () => {
    const [alert] = await listAlerts(server.store, { loop: 'judged' });
    assert.equal(alert!.state, 'firing');
    return alert!.evidence['judged_at_run'] as number;
  };
  const first = await judgedAt();
  await play('judged', 210, rates(150, 0.5), 6);
  await detection.look();
  assert.equal(await judgedAt(), first);
  await play('judged', 360, rates(100, 0.5), 7);
  await startDetection(server.store, clock).look();
  const again = await judgedAt();
  assert.equal(again, first + 200);
  await play('judged', 460, rates(100, 0.5), 8);
  await startDetection(server.store, clock).look();
  assert.equal(await judgedAt(), again);
  assert.deepEqual(await states('judged'), ['firing']);
});
