import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { seededRandom, systemClock } from '../../src/clock.ts';
import { listAlerts } from '../../src/store/alerts.ts';
import { runCli } from '../support/cli.ts';
import { insertTestScores, startDetection, storedSeries } from '../support/detection.ts';
import { insertRuns } from '../support/eval-runs.ts';
import { startTestStore } from '../support/store.ts';

/** An alert that is accepted ends, and its loop's new normal is learnt, also by who reads the history again. */

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const clock = systemClock();
const T0 = Date.parse('2026-01-05T00:00:00Z');

/** Runs from `from` on, of which `rate` score 1. */
async function play(loop: string, from: number, n: number, rate: number): Promise<void> {
  const random = seededRandom(from + 1);
  const names = Array.from({ length: n }, (_, i) => `r-${String(from + i).padStart(5, '0')}`);
  await insertRuns(
    server.store,
    names.map((run, i) => ({ loop, run, at: T0 + (from + i) * 1000, input: `${i}`, output: run })),
  );
  await insertTestScores(
    server.store,
    names.map((run) => ({ loop, run, score: random() < rate ? 1 : 0 })),
  );
}

const cli = (...argv: string[]) => runCli(argv, { env: { LOOPSCOPE_CLICKHOUSE_URL: server.url } });
const alertsOf = (loop: string) => listAlerts(server.store, { loop });

test('an accepted fall ends its alert, is learnt, and a later fall from there is a new alert', async () => {
  const detection = startDetection(server.store, clock);
  await play('shorter', 0, 150, 0.95);
  await play('shorter', 150, 60, 0.5);
  await detection.look();
  const [alert] = await alertsOf('shorter');
  assert.equal(alert!.state, 'firing');

  const { code, stdout } = await cli(
    'alerts',
    'accept',
    alert!.alert_id,
    '--reason',
    'on purpose',
    '--by',
    'ann',
    '--json',
  );
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(stdout), {
    accepted: { alert: alert!.alert_id, loop: 'shorter', kinds: ['golden_drop'], by: 'ann' },
  });
  assert.equal(await detection.look(), 1);
  const [resolved] = await alertsOf('shorter');
  assert.equal(resolved!.state, 'resolved');
  assert.deepEqual(resolved!.evidence['accepted'], { by: 'ann', reason: 'on purpose' });
  assert.match((await cli('alerts', '--loop', 'shorter')).stdout, /resolved/);

  await play('shorter', 210, 200, 0.5);
  assert.equal(await detection.look(), 0, 'what was accepted is the normal');
  await play('shorter', 410, 100, 0.05);
  assert.equal(await detection.look(), 1);
  assert.deepEqual((await alertsOf('shorter')).map(({ state }) => state).sort(), ['firing', 'resolved']);
});

test('who reads the history again takes the acceptance where it was made', async () => {
  await play('again', 0, 150, 0.95);
  await play('again', 150, 60, 0.5);
  const detection = startDetection(server.store, clock);
  await detection.look();
  const [alert] = await alertsOf('again');
  await cli('alerts', 'accept', alert!.alert_id, '--reason', 'on purpose');
  await detection.look();
  await play('again', 210, 200, 0.5);
  await detection.look();
  const known = await storedSeries(server.store, 'again');

  await server.store.command('TRUNCATE TABLE loopscope.detector_states');
  assert.equal(await startDetection(server.store, clock).look(), 0);
  const withoutPlace = (series: Record<string, unknown>) =>
    Object.values(series as Record<string, Record<string, unknown>>).map(({ watch, accepted, seen }) => ({
      watch,
      accepted,
      seen,
    }));
  assert.deepEqual(withoutPlace(await storedSeries(server.store, 'again')), withoutPlace(known));
  assert.deepEqual(
    (await alertsOf('again')).map(({ state }) => state),
    ['resolved'],
  );
});

test('what cannot be accepted is refused in words', async () => {
  const unknown = await cli('alerts', 'accept', 'nothing', '--reason', 'x');
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /There is no alert "nothing"/);
  const [over] = (await alertsOf('again')).filter(({ state }) => state === 'resolved');
  const again = await cli('alerts', 'accept', over!.alert_id, '--reason', 'x');
  assert.equal(again.code, 2);
  assert.match(again.stderr, /is over already/);
  assert.equal((await cli('alerts', 'accept', over!.alert_id)).code, 2);
});
