import { statfsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { LoopscopeError } from '../errors.ts';
import { diskFull } from './server-files.ts';

/** What the embedded server needs of the machine. Injected, so that a test can take it away. */
export interface ServerHost {
  platform: string;
  arch: string;
  /** Path of the ClickHouse library; `undefined` where its package is not installed. */
  library(): string | undefined;
  /** Bytes this user may still write below `directory`. */
  freeBytes(directory: string): number;
}

/** Less than this free and the server is not started: it would fail half-way through a write. */
export const FREE_BYTES_MIN = 256 * 1024 * 1024;

export const thisMachine: ServerHost = {
  platform: process.platform,
  arch: process.arch,
  library: () => {
    try {
      return createRequire(import.meta.url).resolve('@chdb/lib-linux-x64-gnu/libchdb.so');
    } catch {
      return undefined;
    }
  },
  freeBytes: (directory) => {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize;
  },
};

/** Path of the library on a machine that can run it. Throws `platform_unsupported`. */
export function requireLibrary(host: ServerHost): string {
  const instead =
    'Set LOOPSCOPE_CLICKHOUSE_URL (clickhouse.url in loopscope.yaml) to a ClickHouse of your own, 26.3 or later';
  if (host.platform !== 'linux' || host.arch !== 'x64')
    throw new LoopscopeError(
      'platform_unsupported',
      `The embedded ClickHouse runs on linux-x64, and this is ${host.platform}-${host.arch}. ${instead}.`,
    );
  const library = host.library();
  if (library === undefined)
    throw new LoopscopeError(
      'platform_unsupported',
      `The embedded ClickHouse (package @chdb/lib-linux-x64-gnu, for glibc) is not installed. ${instead}, or install again without --omit=optional.`,
    );
  return library;
}

/** Throws `disk_full` when `directory` has less than `FREE_BYTES_MIN` left. */
export function requireFreeSpace(host: ServerHost, directory: string): void {
  const free = host.freeBytes(directory);
  if (free >= FREE_BYTES_MIN) return;
  throw diskFull(
    directory,
    `${mib(free)} MiB free, and ClickHouse is not started with less than ${mib(FREE_BYTES_MIN)} MiB`,
  );
}

const mib = (bytes: number) => Math.floor(bytes / 1024 / 1024);

/** `n` different loopback ports that were free a moment ago. */
export async function freePorts(n: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: n }, async () => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject).listen(0, '127.0.0.1', resolve);
      });
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
