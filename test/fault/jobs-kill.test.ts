import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cycles, SEED } from '../support/campaign.ts';
import { jobsCampaign } from '../support/jobs-campaign.ts';
import { redisMissing, TestRedis } from '../support/redis.ts';

/** `kill -9` of what runs the jobs, fifty times in all. `LOOPSCOPE_CYCLES` kills more often, so many times each. */
const KILLS = cycles(25);

test(`evals on their own, killed ${KILLS} times: every due job runs, each score exists once (seed ${SEED})`, async () => {
  const { jobs, cutOff } = await jobsCampaign({ name: 'alone', kills: KILLS, seed: SEED, processes: 1 });
  assert.ok(jobs > KILLS / 2, 'some got through');
  assert.ok(cutOff > 0, 'some were killed in the middle of a job');
});

test(`two evals processes that share a Redis, one or the other killed ${KILLS} times: the same (seed ${SEED})`, {
  skip: redisMissing,
}, async (t) => {
  const redis = await TestRedis.start();
  t.after(() => redis.close());
  const campaign = { name: 'shared', kills: KILLS, seed: SEED, processes: 2, redisUrl: redis.url };
  const { cutOff } = await jobsCampaign(campaign);
  assert.ok(cutOff > 0, 'some were killed in the middle of a job');
});
