import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import pino from 'pino';
import { systemClock } from '../../src/clock.ts';
import { openStore } from '../../src/store/client.ts';
import { startEmbedded } from '../../src/store/embedded.ts';
import { migrate, readMigrations } from '../../src/store/migrate.ts';
import { spawnEmbeddedParent } from '../support/embedded.ts';

const clock = systemClock();
const log = pino({ level: 'silent' });

for (const afterMs of [20, 100, 250])
  test(`everything killed ${afterMs} ms into the migrations: the next start completes them`, async (t) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'loopscope-cut-'));
    const parent = await spawnEmbeddedParent(dataDir);
    const cut = openStore({ url: parent.url });
    const migrating = migrate(cut, clock).catch(() => undefined);
    await delay(afterMs); // when the kill comes, not how long something takes
    parent.process.kill('SIGKILL');
    await migrating;
    await cut.close();

    const ports = { httpPort: 0, nativePort: 0 };
    const server = await startEmbedded({ dataDir, ...ports, memoryBytesMax: 2_000_000_000, clock, log });
    t.after(async () => {
      await server.close();
      await rm(dataDir, { recursive: true, force: true });
    });
    const store = openStore({ url: server.url });
    await migrate(store, clock);
    const applied = await store.query<{ id: number }>('SELECT id FROM loopscope.migrations ORDER BY id');
    assert.deepEqual(
      applied.map((m) => m.id),
      readMigrations('loopscope').map((m) => m.id),
    );
    await store.close();
  });
