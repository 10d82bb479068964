import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import pino from 'pino';
import { systemClock } from '../../src/clock.ts';
import { openStore } from '../../src/store/client.ts';
import { startEmbedded } from '../../src/store/embedded.ts';
import { alive } from '../support/embedded.ts';
import { until } from '../support/until.ts';

test('a ClickHouse that hangs: calls end as unavailable, and closing still ends its process', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'loopscope-hangs-'));
  const server = await startEmbedded({
    dataDir,
    httpPort: 0,
    nativePort: 0,
    memoryBytesMax: 2_000_000_000,
    clock: systemClock(),
    log: pino({ level: 'silent' }),
  });
  t.after(async () => {
    await server.close(); // a stopped process would hold this one, should an assertion fail
    await rm(dataDir, { recursive: true, force: true });
  });
  const store = openStore({ url: server.url, requestTimeoutMs: 1_500 });
  process.kill(server.pid, 'SIGSTOP');
  // The signal is on its way: until it is there, the server still answers.
  await until('the server stands still', () =>
    /^State:\s+T/m.test(readFileSync(`/proc/${server.pid}/status`, 'utf8')),
  );
  await assert.rejects(store.query('SELECT 1'), { code: 'store_unavailable' });
  assert.equal(await store.ping(), false);
  await store.close();
  await server.close();
  assert.equal(alive(server.pid), false);
});
