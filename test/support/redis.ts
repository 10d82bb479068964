import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePorts } from '../../src/store/server-host.ts';
import { DebianServer, missing } from './debian.ts';
import { until } from './until.ts';

export const redisMissing = missing('redis-server');

/** A real Redis, which keeps what it knows: all that it acknowledged is on disk. */
export class TestRedis extends DebianServer {
  readonly url = `redis://127.0.0.1:${this.port}`;

  static async start(): Promise<TestRedis> {
    const [port] = await freePorts(1);
    const redis = new TestRedis(port!, await mkdtemp(join(tmpdir(), 'loopscope-redis-')));
    await redis.restart();
    return redis;
  }

  /** Forgets everything. */
  async flush(): Promise<void> {
    const client = new Redis(this.url);
    await client.flushall();
    client.disconnect();
  }

  protected override spawn(): ChildProcess {
    const settings = {
      port: this.port,
      bind: '127.0.0.1',
      dir: this.folder,
      appendonly: 'yes',
      appendfsync: 'always',
      save: '',
    };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
    return spawn('redis-server', args, { stdio: 'ignore' });
  }

  protected override async answers(): Promise<void> {
    const client = new Redis(this.url, { maxRetriesPerRequest: 0, retryStrategy: () => 20 });
    client.on('error', () => {});
    try {
      await until('Redis to answer', async () => (await client.ping()) === 'PONG');
    } finally {
      client.disconnect();
    }
  }
}
