import { LoopscopeError } from '../errors.ts';
import type { Store } from './client.ts';

/**
 * Whether a server is what the settings say: one by itself, or one of a cluster of that name. A schema is made for one
 * of the two and does not turn into the other, so whoever starts with the wrong setting must hear of it before a row
 * goes to where nobody looks.
 */

/** Throws `config_invalid`, saying what to set or do. */
export async function checkPlace(store: Store): Promise<void> {
  const { database, cluster, url } = store;
  const at = `ClickHouse at ${new URL(url).origin}`;
  const [server] = await store.query<{ engine: string; clusters: string[]; macros: string[] }>(
    `SELECT (SELECT any(engine) FROM system.tables WHERE database = {db:String} AND name = 'otel_traces') AS engine,
       (SELECT groupUniqArray(cluster) FROM system.clusters) AS clusters,
       (SELECT groupArray(macro) FROM system.macros) AS macros`,
    { db: database },
  );
  const { engine, clusters, macros } = server!;
  const isOfCluster = engine === 'Distributed';
  if (!cluster) {
    if (isOfCluster)
      throw misfit(
        `The database ${database} of ${at} is a cluster's, and the settings name none. Set clickhouse.cluster.`,
      );
    return;
  }
  if (!clusters.includes(cluster.name))
    throw misfit(
      `clickhouse.cluster: ${at} knows no cluster "${cluster.name}" (${clusters.length > 0 ? `it knows ${clusters.sort().join(', ')}` : 'nor any other'}). Name one of its <remote_servers>.`,
    );
  if (engine && !isOfCluster)
    throw misfit(
      `clickhouse.cluster: the database ${database} of ${at} has the rows of a single server, which a cluster does not take over. Give the cluster an empty server, or leave the setting out.`,
    );
  const lacking = cluster.replicated ? ['shard', 'replica'].filter((macro) => !macros.includes(macro)) : [];
  if (lacking.length > 0)
    throw misfit(
      `clickhouse.cluster: ${at} has no <macros> ${lacking.join(' and ')}, by which replicas tell each other apart. Set them there, or clickhouse.replicated: false for shards without replicas.`,
    );
}

const misfit = (message: string) => new LoopscopeError('config_invalid', message);
