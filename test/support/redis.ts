import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { until } from './until.ts';

/** Why tests with Redis are skipped, where they are; in CI they are not, and fail without it. */
export const redisMissing: string | false =
  spawnSync('redis-server', ['--version']).status === 0 || process.env['CI'] === 'true'
    ? false
    : 'redis-server is not installed (apt-get install redis-server)';

/** A real Redis on a free loopback port, which keeps what it knows in a folder of its own. */
export class TestRedis {
  readonly url: string;
  readonly #port: number;
  readonly #folder: string;
  #server: ChildProcess;

  private constructor(port: number, folder: string) {
    this.#port = port;
    this.#folder = folder;
    this.url = `redis://127.0.0.1:${port}`;
    this.#server = this.#spawn();
  }

  static async start(): Promise<TestRedis> {
    const redis = new TestRedis(await freePort(), await mkdtemp(join(tmpdir(), 'loopscope-redis-')));
    await redis.#answers();
    return redis;
  }

  /** Ends it as a crash would; all it acknowledged is on disk. */
  async kill(): Promise<void> {
    const ended = once(this.#server, 'exit');
    this.#server.kill('SIGKILL');
    await ended;
  }

  /** Starts it again, on the same port and folder. */
  async restart(): Promise<void> {
    this.#server = this.#spawn();
    await this.#answers();
  }

  /** Makes it hang: connections stay open and nothing is answered. */
  pause(): void {
    this.#server.kill('SIGSTOP');
  }

  resume(): void {
    this.#server.kill('SIGCONT');
  }

  /** Forgets everything. */
  async flush(): Promise<void> {
    const client = new Redis(this.url);
    await client.flushall();
    client.disconnect();
  }

  get isRunning(): boolean {
    return this.#server.exitCode === null && this.#server.signalCode === null;
  }

  async close(): Promise<void> {
    if (this.isRunning) await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  #spawn(): ChildProcess {
    const settings = {
      port: this.#port,
      bind: '127.0.0.1',
      dir: this.#folder,
      appendonly: 'yes',
      appendfsync: 'always',
      save: '',
    };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
    return spawn('redis-server', args, { stdio: 'ignore' });
  }

  async #answers(): Promise<void> {
    const client = new Redis(this.url, { maxRetriesPerRequest: 0, retryStrategy: () => 20 });
    client.on('error', () => {});
    try {
      await until('Redis to answer', async () => (await client.ping()) === 'PONG');
    } finally {
      client.disconnect();
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
