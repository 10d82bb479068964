import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { systemClock } from '../../src/clock.ts';
import { openStore, type Store } from '../../src/store/client.ts';
import { type Embedded, startEmbedded } from '../../src/store/embedded.ts';
import { migrate } from '../../src/store/migrate.ts';
import { until } from './until.ts';

/** More than the window in which deaths count before a ClickHouse is given up. */
const BETWEEN_DEATHS_MS = 120_000;

/** A ClickHouse with the schema in place that is killed again and again, and comes back on the same folder and ports. */
export class MortalStore {
  readonly url: string;
  readonly store: Store;
  private readonly server: Embedded;
  private readonly dataDir: string;
  private readonly age: { ms: number };

  private constructor(server: Embedded, dataDir: string, age: { ms: number }) {
    this.server = server;
    this.dataDir = dataDir;
    this.age = age;
    this.url = server.url;
    this.store = openStore({ url: server.url });
  }

  static async start(): Promise<MortalStore> {
    const dataDir = await mkdtemp(join(tmpdir(), 'loopscope-store-'));
    const age = { ms: 0 };
    const clock = { ...systemClock(), now: () => systemClock().now() + age.ms };
    const server = await startEmbedded({
      dataDir,
      httpPort: 0,
      nativePort: 0,
      memoryBytesMax: 2_000_000_000,
      clock,
      log: pino({ level: 'silent' }),
    });
    const started = new MortalStore(server, dataDir, age);
    try {
      await migrate(started.store, clock);
    } catch (error) {
      await started.close();
      throw error;
    }
    return started;
  }

  /** Resolves when another process serves in its place. */
  async killed(): Promise<void> {
    const { pid } = this.server;
    this.age.ms += BETWEEN_DEATHS_MS;
    process.kill(pid, 'SIGKILL');
    await until('ClickHouse to be back', () => this.server.pid !== pid, 60_000);
  }

  async close(): Promise<void> {
    await this.store.close();
    await this.server.close();
    await rm(this.dataDir, { recursive: true, force: true });
  }
}
