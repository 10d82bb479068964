import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import pino from 'pino';
import { type Clock, systemClock } from '../../src/clock.ts';
import { openStore, type Store } from '../../src/store/client.ts';
import { type Embedded, startEmbedded } from '../../src/store/embedded.ts';
import { alive, spawnEmbeddedParent } from '../support/embedded.ts';
import { until } from '../support/until.ts';

let root: string;
let dataDir: string;
const started: Embedded[] = [];
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'loopscope-life-'));
});
beforeEach(async () => {
  dataDir = await mkdtemp(join(root, 'data-'));
});
afterEach(async () => {
  for (const server of started.splice(0)) await server.close();
});
after(() => rm(root, { recursive: true, force: true }));

async function start(clock: Clock = systemClock(), log = pino({ level: 'silent' })): Promise<Embedded> {
  const server = await startEmbedded({
    dataDir,
    httpPort: 0,
    nativePort: 0,
    memoryBytesMax: 2_000_000_000,
    clock,
    log,
  });
  started.push(server);
  return server;
}

async function fill(store: Store): Promise<void> {
  await store.command('CREATE DATABASE kept ENGINE = Atomic');
  await store.command('CREATE TABLE kept.rows (n UInt64) ENGINE = MergeTree ORDER BY n');
  for (let part = 0; part < 5; part++)
    await store.command('INSERT INTO kept.rows SELECT number FROM numbers({from:UInt64}, 1000)', {
      from: part * 1000,
    });
}

const rows = (store: Store) =>
  store.query<{ rows: number; total: number }>('SELECT count() AS rows, sum(n) AS total FROM kept.rows');

const KEPT = [{ rows: 5000, total: (4999 * 5000) / 2 }];

test('a ClickHouse that was killed is up again on the same port with every acknowledged row', async () => {
  const server = await start();
  const store = openStore({ url: server.url });
  await fill(store);
  const first = server.pid;
  process.kill(first, 'SIGKILL');
  await until('another process', () => server.pid !== first);
  assert.deepEqual(await until('the rows', () => rows(store)), KEPT);

  await store.close();
  await server.close();
  await server.close();
  assert.equal(await server.exited, 0);
  assert.equal(alive(server.pid), false);
});

test('a ClickHouse that keeps dying is given up, and that is told', async () => {
  // Pauses between restarts take no time, so that the whole story does not either.
  const clock: Clock = { ...systemClock(), sleep: (_ms, signal) => systemClock().sleep(5, signal) };
  const told: string[] = [];
  const log = pino({ level: 'error' }, { write: (line: string) => void told.push(JSON.parse(line).msg) });
  const server = await start(clock, log);
  let over = false;
  server.exited.then(() => {
    over = true;
  });
  let killed = 0;
  await until(
    'the end',
    () => {
      if (server.pid !== killed) {
        killed = server.pid;
        process.kill(killed, 'SIGKILL');
      }
      return over;
    },
    20_000,
  );
  assert.equal(await server.exited, null);
  assert.equal(told.at(-1), 'ClickHouse keeps dying: given up');
  assert.equal(told.filter((line) => line === 'ClickHouse died').length, 6);
  await server.close();
});

test('a close while it restarts leaves nothing running', async () => {
  const server = await start();
  const first = server.pid;
  process.kill(first, 'SIGKILL');
  await until('its death', () => !alive(first));
  await server.close();
  assert.equal(await server.exited, 0);
  assert.equal(alive(server.pid), false);
});

test('a parent that is killed takes its ClickHouse along; a new one finds folder and rows', async () => {
  const parent = await spawnEmbeddedParent(dataDir);
  const store = openStore({ url: parent.url });
  await fill(store);
  await store.close();
  parent.process.kill('SIGKILL');
  await until('the end of the orphan', () => !alive(parent.pid), 2_000);

  const server = await start();
  const again = openStore({ url: server.url });
  assert.deepEqual(await rows(again), KEPT);
  await again.close();
  await server.close();
});

test('a parent that is killed and started again at once waits for the folder instead of refusing', async () => {
  const parent = await spawnEmbeddedParent(dataDir);
  parent.process.kill('SIGKILL');
  const server = await start();
  await server.close();
  assert.equal(alive(parent.pid), false);
});

test('a parent that is told to stop ends by itself and leaves no process', async () => {
  const parent = await spawnEmbeddedParent(dataDir);
  parent.process.kill('SIGTERM');
  const [code] = await once(parent.process, 'exit');
  assert.equal(code, 0);
  assert.equal(alive(parent.pid), false);
});

test('a Ctrl-C meant for the parent does not reach the server: the parent decides when it goes', async () => {
  const server = await start();
  const { stdout } = spawn('ps', ['-o', 'pgid=', '-p', String(server.pid)]);
  const [pgid] = await once(stdout, 'data');
  assert.equal(Number(pgid), server.pid);
  await server.close();
});
