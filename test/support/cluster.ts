import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { systemClock } from '../../src/clock.ts';
import { openStore, type Store } from '../../src/store/client.ts';
import { type Embedded, startEmbedded } from '../../src/store/embedded.ts';
import { freePorts } from '../../src/store/server-host.ts';

/** The name that the servers know their cluster by. */
export const CLUSTER = { name: 'fleet', replicated: false };

/**
 * ClickHouse servers of their own, each a shard of one cluster, without a schema. They have no replicas and no Keeper,
 * which the embedded ClickHouse lacks.
 */
export class TestCluster {
  readonly shards: readonly { url: string; store: Store }[];
  readonly #servers: readonly Embedded[];
  readonly #folder: string;

  private constructor(servers: readonly Embedded[], folder: string) {
    this.#servers = servers;
    this.#folder = folder;
    this.shards = servers.map(({ url }) => ({ url, store: openStore({ url, cluster: CLUSTER }) }));
  }

  static async start(shards = 2): Promise<TestCluster> {
    const folder = mkdtempSync(join(tmpdir(), 'loopscope-cluster-'));
    const ports = await freePorts(shards);
    const servers = await Promise.all(
      ports.map((nativePort, i) => {
        const dataDir = join(folder, `shard-${i + 1}`);
        // Read beside the configuration that is written at each start.
        mkdirSync(join(dataDir, 'clickhouse', 'config.d'), { recursive: true });
        writeFileSync(join(dataDir, 'clickhouse', 'config.d', 'cluster.xml'), remoteServers(ports));
        return startEmbedded({
          dataDir,
          httpPort: 0,
          nativePort,
          memoryBytesMax: 2_000_000_000,
          clock: systemClock(),
          log: pino({ level: 'silent' }),
        });
      }),
    );
    return new TestCluster(servers, folder);
  }

  async close(): Promise<void> {
    for (const { store } of this.shards) await store.close();
    for (const server of this.#servers) await server.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

const remoteServers = (ports: readonly number[]) => `<clickhouse>
  <remote_servers>
    <${CLUSTER.name}>
${ports.map((port) => `      <shard><replica><host>127.0.0.1</host><port>${port}</port></replica></shard>`).join('\n')}
    </${CLUSTER.name}>
  </remote_servers>
</clickhouse>
`;
