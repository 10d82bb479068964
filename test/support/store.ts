import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { systemClock } from '../../src/clock.ts';
import { openStore, type Store } from '../../src/store/client.ts';
import { startEmbedded } from '../../src/store/embedded.ts';
import { migrate } from '../../src/store/migrate.ts';

/**
 * A ClickHouse of its own on free ports, with the schema in place, in a folder that goes away at `close`.
 * One a test file is enough: use loops of different names rather than servers.
 */
export async function startTestStore(): Promise<{ store: Store; url: string; close(): Promise<void> }> {
  const clock = systemClock();
  const dataDir = await mkdtemp(join(tmpdir(), 'loopscope-store-'));
  const server = await startEmbedded({
    dataDir,
    httpPort: 0,
    nativePort: 0,
    memoryBytesMax: 2_000_000_000,
    clock,
    log: pino({ level: 'silent' }),
  });
  const store = openStore({ url: server.url });
  const close = async () => {
    await store.close();
    await server.close();
    await rm(dataDir, { recursive: true, force: true });
  };
  try {
    await migrate(store, clock);
  } catch (error) {
    await close(); // or the test would hang instead of failing
    throw error;
  }
  return { store, url: server.url, close };
}
