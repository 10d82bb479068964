import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { seededRandom, systemClock } from '../../src/clock.ts';
import { insertTestScores, startDetection, storedSeries } from '../support/detection.ts';
import { insertRuns } from '../support/eval-runs.ts';
import { standBy } from '../support/mortal-process.ts';
import { startTestStore } from '../support/store.ts';

/**
 * Detection is killed at random moments while scores come in: in the middle of reading, of stepping, between the
 * state and the alert, and after both. In the end every alarm is one alert, and the states are those of a detection
 * that nobody disturbed.
 */
const KILLS = Number(process.env['LOOPSCOPE_KILLS'] ?? (process.env['LOOPSCOPE_LONG'] ? 250 : 25));
const SEED = Number(process.env['LOOPSCOPE_SEED'] ?? 1);
/** A process lives up to so many times as long as a look took before there was any hurry. */
const LOOKS_LIVED_MAX = 2;
const FIRST_RUNS = 60;
const RUNS_A_KILL = 6;

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const T0 = Date.parse('2026-01-05T00:00:00Z');
/** Of each pair one loop falls, at its own time, and recovers later; the other stays. */
const LOOPS = 6;
/** In other portions than those that were killed: nothing hangs on them. */
const PORTIONS_A_LOOK = 4;
const RUNS = FIRST_RUNS + RUNS_A_KILL * KILLS;
const loopName = (prefix: string, loop: number) => `${prefix}-${loop}`;
const runName = (i: number) => `r-${String(i).padStart(5, '0')}`;

function scoresOf(loop: number): number[] {
  const random = seededRandom(SEED * 1000 + loop);
  const falls = FIRST_RUNS + Math.floor(((RUNS - FIRST_RUNS) * (1 + (loop % 4))) / 8);
  const heals = falls + Math.floor((RUNS - FIRST_RUNS) / 3);
  return Array.from({ length: RUNS }, (_, i) => {
    const isDown = loop % 2 === 0 && i >= falls && i < heals;
    return random() < (isDown ? 0.2 : 0.95) ? 1 : 0;
  });
}

const SCORES = Array.from({ length: LOOPS }, (_, loop) => scoresOf(loop));

/** Runs `from` to `to` of every loop and their scores, in one insert each. */
async function play(prefix: string, from: number, to: number): Promise<void> {
  const indices = Array.from({ length: to - from }, (_, i) => from + i);
  await insertRuns(
    server.store,
    SCORES.flatMap((_, loop) =>
      indices.map((i) => ({
        loop: loopName(prefix, loop),
        run: runName(i),
        at: T0 + i * 1000,
        input: `q-${i}`,
        output: `a-${i}`,
        pass: true,
      })),
    ),
  );
  await insertTestScores(
    server.store,
    SCORES.flatMap((scores, loop) =>
      indices.map((i) => ({ loop: loopName(prefix, loop), run: runName(i), score: scores[i]! })),
    ),
  );
}

/** What was told of a fleet, without the names that tell the two apart, and what is kept of it. */
async function outcome(prefix: string) {
  const rows = await server.store.query<{
    loop: string;
    kind: string;
    state: string;
    run: number;
    n: number;
  }>(
    `SELECT loop, kind, state, change_at_run AS run, count() AS n FROM loopscope.alerts
     WHERE startsWith(loop, {prefix:String})
       AND NOT (state = 'firing' AND JSONHas(evidence, 'joined'))
     GROUP BY ALL ORDER BY ALL`,
    { prefix: `${prefix}-` },
  );
  const states = [];
  for (let loop = 0; loop < LOOPS; loop++) {
    const { golden } = await storedSeries(server.store, loopName(prefix, loop));
    const { watch, seen, episodes } = golden as { watch: unknown; seen: number; episodes: unknown[] };
    states.push({ watch, seen, episodes: episodes.length });
  }
  return { alerts: rows.map((row) => ({ ...row, loop: row.loop.slice(prefix.length) })), states };
}

test(`killed ${KILLS} times at random moments, detection tells every alarm once and ends where it would have`, async () => {
  const random = seededRandom(SEED);
  await play('killed', 0, FIRST_RUNS);
  const startedAt = performance.now();
  await startDetection(server.store, systemClock()).look();
  const lifeMsMax = LOOKS_LIVED_MAX * (performance.now() - startedAt);
  let next = standBy('../fault/detection-child.ts', { url: server.url });
  for (let kill = 0; kill < KILLS; kill++) {
    const child = await next;
    next = standBy('../fault/detection-child.ts', { url: server.url });
    const from = FIRST_RUNS + kill * RUNS_A_KILL;
    const playing = play('killed', from, from + RUNS_A_KILL);
    await child.start();
    await delay(random() * lifeMsMax); // no wait for anything: when it dies is up to the seed
    child.process.kill('SIGKILL');
    await Promise.all([child.exited, playing]);
  }
  const spare = await next;
  spare.process.kill('SIGKILL');
  await spare.exited;
  await startDetection(server.store, systemClock()).look();

  const undisturbed = startDetection(server.store, systemClock());
  await play('calm', 0, FIRST_RUNS);
  for (let from = FIRST_RUNS; from < RUNS; from += PORTIONS_A_LOOK * RUNS_A_KILL) {
    await play('calm', from, Math.min(RUNS, from + PORTIONS_A_LOOK * RUNS_A_KILL));
    await undisturbed.look();
  }
  const [killed, calm] = [await outcome('killed'), await outcome('calm')];
  assert.deepEqual(killed.states, calm.states, `seed ${SEED}`);
  assert.ok(
    killed.alerts.every(({ n }) => n === 1),
    `each state is told once: ${JSON.stringify(killed.alerts)}`,
  );
  assert.deepEqual(killed.alerts, calm.alerts, `seed ${SEED}`);
  assert.ok(calm.alerts.length >= LOOPS / 2, 'there was something to tell');
});
