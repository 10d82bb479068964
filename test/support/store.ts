import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { systemClock } from '../../src/clock.ts';
import { openStore, type Store } from '../../src/store/client.ts';
import { startEmbedded } from '../../src/store/embedded.ts';
import { migrate, readMigrations } from '../../src/store/migrate.ts';

const clock = systemClock();

/**
 * A ClickHouse of its own on free ports, with the schema in place, in a folder that goes away at `close`.
 * One a test file is enough: use loops of different names rather than servers.
 */
export async function startTestStore(): Promise<{ store: Store; url: string; close(): Promise<void> }> {
  const dataDir = await mkdtemp(join(tmpdir(), 'loopscope-store-'));
  await cp(await migratedFolder(), dataDir, { recursive: true });
  const { store, url, stop } = await serve(dataDir);
  const close = async () => {
    await stop();
    await rm(dataDir, { recursive: true, force: true });
  };
  return { store, url, close };
}

async function serve(dataDir: string): Promise<{ store: Store; url: string; stop(): Promise<void> }> {
  const server = await startEmbedded({
    dataDir,
    httpPort: 0,
    nativePort: 0,
    memoryBytesMax: 2_000_000_000,
    clock,
    log: pino({ level: 'silent' }),
  });
  const store = openStore({ url: server.url });
  const stop = async () => {
    await store.close();
    await server.close();
  };
  try {
    await migrate(store, clock);
  } catch (error) {
    await stop(); // or the test would hang instead of failing
    throw error;
  }
  return { store, url: server.url, stop };
}

const CACHE = join(import.meta.dirname, '../../node_modules/.cache/loopscope');

/** What a server's folder is after the migrations. It is made once, for to make it takes longer than most tests. */
async function migratedFolder(): Promise<string> {
  const schema = JSON.stringify(readMigrations('loopscope'));
  const name = createHash('sha256').update(schema).digest('hex').slice(0, 16);
  await mkdir(CACHE, { recursive: true });
  const folders = await readdir(CACHE);
  if (folders.includes(name)) return join(CACHE, name);
  for (const other of folders.filter((folder) => !folder.startsWith(name)))
    await rm(join(CACHE, other), { recursive: true, force: true });

  const making = await mkdtemp(join(CACHE, `${name}-`));
  const { stop } = await serve(making);
  await stop();
  // Tests that run beside this one may have made it meanwhile.
  await rename(making, join(CACHE, name)).catch(() => rm(making, { recursive: true }));
  return join(CACHE, name);
}
