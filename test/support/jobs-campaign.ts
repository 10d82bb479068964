import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { importGolden } from '../../evals/golden.ts';
import { dueAt } from '../../evals/schedule.ts';
import { loadSuites } from '../../evals/suite.ts';
import { seededRandom, systemClock } from '../../src/clock.ts';
import type { Store } from '../../src/store/client.ts';
import type { EvalsChildSettings } from '../fault/evals-child.ts';
import { insertRuns, suiteFolder } from './eval-runs.ts';
import { MortalProcess } from './mortal-process.ts';
import { startTestStore } from './store.ts';
import { until } from './until.ts';

/**
 * Evals processes that score suites which are due every second, while runs come in and one process after the other is
 * killed. In the end every job that was due ran or was caught up with by a later one, none ended twice, and every run has
 * one score of its suite.
 */
const RUNS_PER_KILL = 6;
const SETTLE_MS = 60_000;
const PAUSE_MS_MAX = 500;
/** Of processes that share their jobs one hangs now and then, for longer than its leases. */
const HANGS_EVERY = 8;
const HANG_MS = 2_500;
/** What a run's score takes in the slow suite: long enough to be killed in. */
const SLOW_MS = 5;

export interface JobsCampaign {
  name: string;
  kills: number;
  seed: number;
  /** Evals processes at a time; more than one share the Redis. */
  processes: number;
  redisUrl?: string;
}

/** Runs the campaign, and gives how many jobs there were and how many of them were cut off and run again. */
export async function jobsCampaign({
  name,
  kills,
  seed,
  processes,
  redisUrl,
}: JobsCampaign): Promise<{ jobs: number; cutOff: number }> {
  const random = seededRandom(seed);
  const server = await startTestStore();
  const loops = [`${name}-quick`, `${name}-slow`];
  const at = suiteFolder({
    'quick.yaml': suiteOf(loops[0]!, 'text'),
    'slow.yaml': suiteOf(loops[1]!, '{ module: slow.ts }'),
    'slow.ts': `import { setTimeout } from 'node:timers/promises';
      export default async () => { await setTimeout(${SLOW_MS}); return 1; };`,
  });
  at.write('loopscope.yaml', 'evals: { port: 0, run_idle_s: 3600, lease_s: 1 }\n');
  at.write('g.jsonl', '{"input":"q","expected":"yes"}');
  const { store } = server;
  const mortals: MortalProcess<EvalsChildSettings>[] = [];
  try {
    await importGolden(
      { store, clock: systemClock() },
      { path: join(at.directory, 'g.jsonl'), dataset: 'd' },
    );
    for (let i = 0; i < processes; i++) {
      const mortal = new MortalProcess<EvalsChildSettings>('../fault/evals-child.ts', {
        settings: join(at.directory, 'loopscope.yaml'),
        clickhouseUrl: server.url,
        redisUrl,
        port: 0,
      });
      mortals.push(mortal);
      await mortal.start();
    }
    let runs = 0;
    for (let kill = 0; kill < kills; kill++) {
      await play(store, loops, runs, RUNS_PER_KILL);
      runs += RUNS_PER_KILL;
      // Every other time jobs get through before; else it hits the first work after a start, mostly.
      const ended = await jobsEnded(store);
      if (kill % 2 === 1)
        await until('a job to get through', async () => (await jobsEnded(store)) > ended, SETTLE_MS);
      await delay(random() ** 2 * PAUSE_MS_MAX);
      const mortal = mortals[Math.floor(random() * mortals.length)]!;
      if (processes > 1 && kill % HANGS_EVERY === HANGS_EVERY - 1) {
        // Another takes over its jobs meanwhile, and then it goes on with them.
        mortal.pause();
        await delay(HANG_MS);
        mortal.resume();
        await delay(random() * PAUSE_MS_MAX);
      }
      await mortal.kill();
      await mortal.start();
    }
    const figures = `${kills} kills, seed ${seed}`;
    const killedAt = Date.now();
    await until(
      `all are scored and all jobs over (${figures})`,
      async () => {
        const jobs = await jobsOf(store);
        const found = await Promise.all(loops.map((loop) => scores(store, loop)));
        return (
          found.every((score) => score.runs === runs) &&
          loops.every((suite) =>
            jobs.some((job) => job.suite === suite && job.due > killedAt && job.ends > 0),
          ) &&
          jobs.every((job, i) => job.ends > 0 || isNewest(job, i, jobs))
        );
      },
      SETTLE_MS,
    );
    for (const mortal of mortals) await mortal.close();
    const jobs = await jobsOf(store);
    for (const loop of loops) assert.deepEqual(await scores(store, loop), { scores: runs, runs }, figures);
    for (const suite of loadSuites(at.directory)) {
      const mine = jobs.filter((job) => job.suite === suite.suite);
      assert.ok(mine.length > 1, `${suite.suite} had jobs (${figures})`);
      for (const { due, ends } of mine) {
        assert.equal(dueAt(suite, due - 1, due), due, `a job is of a time at which it was due (${figures})`);
        assert.ok(ends <= 1, `${suite.suite} at ${due} ended ${ends} times (${figures})`);
      }
    }
    assert.ok(
      jobs.every((job, i) => job.ends === 1 || isNewest(job, i, jobs)),
      `no job was left behind (${figures})`,
    );
    const cutOff = jobs.filter(({ starts }) => starts > 1).length;
    process.stderr.write(
      `# ${name}: ${figures}; ${jobs.length} jobs, ${cutOff} of them cut off, ${runs} runs\n`,
    );
    return { jobs: jobs.length, cutOff };
  } finally {
    for (const mortal of mortals) await mortal.close();
    await server.close();
    at.remove();
  }
}

const suiteOf = (loop: string, scorer: string) =>
  `suite: ${loop}\nloop: ${loop}\ndataset: d\nsample: { runs_per_day: 100000 }\nscorer: ${scorer}\nschedule: "* * * * * *"\n`;

const DAY_START = Date.parse(`${new Date().toISOString().slice(0, 10)}T00:00:00Z`);

const play = (store: Store, loops: readonly string[], from: number, n: number) =>
  insertRuns(
    store,
    loops.flatMap((loop) =>
      Array.from({ length: n }, (_, i) => ({
        loop,
        run: `r-${from + i}`,
        at: DAY_START + (from + i) * 100,
        input: 'q',
        output: 'yes',
      })),
    ),
  );

async function scores(store: Store, loop: string): Promise<{ scores: number; runs: number }> {
  const [row] = await store.query<{ scores: number; runs: number }>(
    `SELECT count() AS scores, uniqExact(run_id) AS runs FROM ${store.database}.eval_scores WHERE loop = {loop:String}`,
    { loop },
  );
  return row!;
}

async function jobsEnded(store: Store): Promise<number> {
  const [row] = await store.query<{ n: number }>(
    `SELECT count() AS n FROM ${store.database}.eval_jobs WHERE state != 'started'`,
  );
  return row!.n;
}

interface JobRecord {
  suite: string;
  due: number;
  starts: number;
  ends: number;
}

/** Every job, by suite and then by due time. */
const jobsOf = (store: Store) =>
  store.query<JobRecord>(
    `SELECT suite, toUnixTimestamp64Milli(due_at) AS due, countIf(state = 'started') AS starts, countIf(state != 'started') AS ends
     FROM ${store.database}.eval_jobs GROUP BY suite, due_at ORDER BY suite, due_at`,
  );

/** The last job of a suite may be the one in hand at the end. */
const isNewest = (job: JobRecord, i: number, all: readonly JobRecord[]) => all[i + 1]?.suite !== job.suite;
