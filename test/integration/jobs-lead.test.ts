import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import { ALONE, type Lead, openRedisLead } from '../../evals/queue/lead.ts';
import { systemClock } from '../../src/clock.ts';
import { redisMissing, TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

/** Of evals processes that share a Redis one leads, and none is left without. */

const clock = systemClock();
const log = pino({ level: 'silent' });
const LEASE_MS = 500;
let redis: TestRedis;
const opened: Lead[] = [];
const open = async () => {
  const lead = await openRedisLead({ url: redis.url, leaseMs: LEASE_MS, clock, log });
  opened.push(lead);
  return lead;
};
const leaders = (leads: readonly Lead[]) => leads.filter((lead) => lead.isLeader());

test('a process on its own leads', () => assert.equal(ALONE.isLeader(), true));

test('one leads, and when it goes another does', { skip: redisMissing }, async (t) => {
  redis = await TestRedis.start();
  t.after(async () => {
    await Promise.all(opened.map((lead) => lead.close()));
    await redis.close();
  });
  const leads = [await open(), await open(), await open()];
  const [first, ...others] = leaders(leads);
  assert.deepEqual([first, others], [leads[0], []]);
  await first!.close();
  const rest = leads.slice(1);
  await until('another leads', () => leaders(rest).length === 1);

  await redis.kill();
  await until('all lead while nobody can be asked', () => leaders(rest).length === 2);
  await redis.restart();
  await until('one does again', () => leaders(rest).length === 1);

  redis.pause();
  await until('a Redis that hangs is one that is away', () => leaders(rest).length === 2);
  redis.resume();
  await until('and is back', () => leaders(rest).length === 1);
});
