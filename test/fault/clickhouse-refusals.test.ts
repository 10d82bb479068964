import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import pino from 'pino';
import { systemClock } from '../../src/clock.ts';
import type { LoopscopeError } from '../../src/errors.ts';
import { type Embedded, type EmbeddedOptions, startEmbedded } from '../../src/store/embedded.ts';
import { FREE_BYTES_MIN, thisMachine } from '../../src/store/server-host.ts';

let root: string;
let running: Embedded;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'loopscope-refusals-'));
  running = await start({ dataDir: join(root, 'running') });
});
after(async () => {
  await running.close();
  await rm(root, { recursive: true, force: true });
});

const start = (options: Partial<EmbeddedOptions> & { dataDir: string }) =>
  startEmbedded({
    httpPort: 0,
    nativePort: 0,
    memoryBytesMax: 2_000_000_000,
    clock: systemClock(),
    log: pino({ level: 'silent' }),
    ...options,
  });

/** Expects a refusal of one line that says each of `says`. */
async function refused(code: string, says: (string | RegExp)[], options: Parameters<typeof start>[0]) {
  await assert.rejects(start(options), (error: LoopscopeError) => {
    assert.equal(error.code, code, error.message);
    assert.doesNotMatch(error.message, /\n/);
    for (const part of says)
      assert.ok(
        typeof part === 'string' ? error.message.includes(part) : part.test(error.message),
        error.message,
      );
    return true;
  });
}

async function occupied(): Promise<{ port: number; server: Server }> {
  const server = createServer((socket) => socket.unref()); // accepts and says nothing
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as { port: number }).port, server };
}

test('a port in use: which one, and the setting that changes it', async () => {
  const { port, server } = await occupied();
  const dataDir = join(root, 'ports');
  await refused('port_in_use', [`Port ${port} `, 'LOOPSCOPE_CLICKHOUSE_PORT'], { dataDir, httpPort: port });
  await refused('port_in_use', [`Port ${port} `, 'LOOPSCOPE_CLICKHOUSE_NATIVE_PORT'], {
    dataDir,
    nativePort: port,
  });
  server.close();
});

test('a port where another ClickHouse answers is a port in use, not a server that is up', async () => {
  const httpPort = Number(new URL(running.url).port);
  await refused('port_in_use', [`Port ${httpPort} `], { dataDir: join(root, 'other'), httpPort });
});

// A folder in use is waited for. Here five seconds pass in half a one.
const hurried = { ...systemClock(), now: () => performance.now() * 10 };

test('a folder in use: which one, and by which process', async () => {
  await refused(
    'data_dir_in_use',
    [join(root, 'running'), `(process ${running.pid})`, 'LOOPSCOPE_DATA_DIR'],
    {
      dataDir: join(root, 'running'),
      clock: hurried,
    },
  );
});

test('a folder in use is told before a port in use, as for a second `up` in the same place', async () => {
  await refused('data_dir_in_use', [join(root, 'running')], {
    dataDir: join(root, 'running'),
    httpPort: Number(new URL(running.url).port),
    nativePort: running.nativePort,
    clock: hurried,
  });
});

test('a full disk: where, how much is free and how much is needed', async () => {
  const host = { ...thisMachine, freeBytes: () => FREE_BYTES_MIN - 1 };
  await refused(
    'disk_full',
    [join(root, 'full'), '255 MiB free', 'less than 256 MiB', 'LOOPSCOPE_DATA_DIR'],
    {
      dataDir: join(root, 'full'),
      host,
    },
  );
});

test('another platform, or the library left out: what to use instead', async () => {
  const dataDir = join(root, 'platform');
  const elsewhere = { ...thisMachine, platform: 'darwin', arch: 'arm64' };
  await refused('platform_unsupported', ['darwin-arm64', 'LOOPSCOPE_CLICKHOUSE_URL'], {
    dataDir,
    host: elsewhere,
  });
  const without = { ...thisMachine, library: () => undefined };
  await refused('platform_unsupported', ['not installed', 'LOOPSCOPE_CLICKHOUSE_URL'], {
    dataDir,
    host: without,
  });
});

test('a data folder that cannot be made or read: in one line', async () => {
  await writeFile(join(root, 'file'), '');
  await refused('config_invalid', [join(root, 'file'), 'LOOPSCOPE_DATA_DIR'], {
    dataDir: join(root, 'file'),
  });
});

test('a library that is none: the first line of what went wrong', async () => {
  await writeFile(join(root, 'no-library.so'), 'not a library');
  const host = { ...thisMachine, library: () => join(root, 'no-library.so') };
  await refused('store_unavailable', ['did not start', 'no-library.so'], {
    dataDir: join(root, 'nolib'),
    host,
  });
});
