import { Readable } from 'node:stream';
import {
  type ClickHouseClient,
  ClickHouseError,
  type ClickHouseSettings,
  createClient,
} from '@clickhouse/client';
import { LoopscopeError } from '../errors.ts';
import { type NativeBlock, readNative } from './native.ts';

/**
 * The one door to ClickHouse. Values reach SQL as bound parameters (`{name:Type}`), never as text.
 * Failures come in two kinds: `store_unavailable` (worth another try) and `store_rejected` (a bug or bad data).
 */
export interface Store {
  readonly url: string;
  /** The documented names: what is read, and where `insert` puts rows. */
  readonly database: string;
  /** Where the rows of this server lie: the same, but for a cluster, whose `database` has the tables that span it. */
  readonly localDatabase: string;
  readonly cluster: Cluster | undefined;
  /** Rows of a SELECT. */
  query<Row>(sql: string, params?: Record<string, unknown>): Promise<Row[]>;
  /**
   * The same for results that are too large to be held: rows as arrays, in pieces, as they arrive. The server waits
   * for whoever is slow to take them.
   */
  stream<Row extends readonly unknown[]>(
    sql: string,
    params?: Record<string, unknown>,
  ): AsyncIterable<readonly Row[]>;
  /** The same as columns, for whoever is in a hurry: see native.ts for the types that they may have. */
  blocks(sql: string, params?: Record<string, unknown>): AsyncIterable<NativeBlock>;
  /** DDL and other statements without rows. */
  command(sql: string, params?: Record<string, unknown>): Promise<void>;
  /**
   * Inserts rows and returns once they are stored. The same `token` again inserts nothing, which makes an
   * insert whose answer was lost safe to repeat, as long as the rows are the same.
   */
  insert(table: string, rows: readonly object[], token?: string): Promise<void>;
  /**
   * The same with rows that are serialised already, in pieces, in one of ClickHouse's formats. Of a cluster they go
   * into the shard of this server, whereas `insert` takes each row to the shard that has others of its kind.
   */
  insertRaw(
    table: string,
    format: 'JSONEachRow' | 'Native',
    bodies: readonly Uint8Array[],
    token: string,
  ): Promise<void>;
  /** Whether the server answers at all. Never throws. */
  ping(): Promise<boolean>;
  close(): Promise<void>;
}

/** ClickHouse error codes that mean "not now" rather than "not this". */
const RETRYABLE_CODES = new Set([
  '159', // TIMEOUT_EXCEEDED
  '202', // TOO_MANY_SIMULTANEOUS_QUERIES
  '209', // SOCKET_TIMEOUT
  '210', // NETWORK_ERROR
  '241', // MEMORY_LIMIT_EXCEEDED
  '242', // TABLE_IS_READ_ONLY
  '243', // NOT_ENOUGH_SPACE
  '252', // TOO_MANY_PARTS
  '394', // QUERY_WAS_CANCELLED
  '999', // KEEPER_EXCEPTION
]);

/** UNKNOWN_TABLE and UNKNOWN_DATABASE: nothing has applied the migrations there. */
const NO_SCHEMA_CODES = new Set(['60', '81']);

/** A cluster by the name that its servers know it by. */
export interface Cluster {
  name: string;
  /** Its shards have replicas, kept equal by Keeper, which also carries changes of the schema to all servers. */
  replicated: boolean;
}

export interface StoreOptions {
  url: string;
  database?: string;
  cluster?: Cluster | undefined;
  requestTimeoutMs?: number;
}

/** Where a server keeps its own rows of `database`. */
export const localDatabaseOf = (database: string, cluster: Cluster | undefined): string =>
  cluster ? `${database}_local` : database;

/** A client of the ClickHouse at `url`; connects on first use. */
export function openStore({
  url,
  database = 'loopscope',
  cluster,
  requestTimeoutMs = 30_000,
}: StoreOptions): Store {
  const localDatabase = localDatabaseOf(database, cluster);
  const client: ClickHouseClient = createClient({
    url,
    request_timeout: requestTimeoutMs,
    max_open_connections: 16,
    keep_alive: { enabled: true, idle_socket_ttl: 2_000 },
    log: { level: 127 }, // the client's own logger is silent: errors are told once, by us
    clickhouse_settings: {
      // An insert is acknowledged when it is in a part, and only then.
      async_insert: 0,
      output_format_json_quote_64bit_integers: 0,
      date_time_input_format: 'best_effort',
      // Times without a zone are UTC, whatever zone the server is set to.
      session_timezone: 'UTC',
      max_execution_time: Math.ceil(requestTimeoutMs / 1000) - 1,
      ...(cluster && CLUSTER_SETTINGS),
    },
  });
  const guard = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw translate(error, what, url);
    }
  };
  return {
    url,
    database,
    localDatabase,
    cluster,
    query: <Row>(sql: string, params?: Record<string, unknown>) =>
      guard('query', async () => {
        const result = await client.query({ query: sql, query_params: params, format: 'JSONEachRow' });
        return await result.json<Row>();
      }),
    stream: async function* <Row extends readonly unknown[]>(sql: string, params?: Record<string, unknown>) {
      try {
        const result = await client.query({ query: sql, query_params: params, format: 'JSONCompactEachRow' });
        for await (const rows of result.stream<Row>()) yield rows.map((row) => row.json());
      } catch (error) {
        throw translate(error, 'query', url);
      }
    },
    blocks: async function* (sql, params) {
      try {
        // `query` would decode it; `exec` gives bytes as they are.
        const { stream } = await client.exec({ query: `${sql} FORMAT Native`, query_params: params });
        yield* readNative(stream);
      } catch (error) {
        throw translate(error, 'query', url);
      }
    },
    command: (sql, params) =>
      guard('command', async () => {
        await client.command({ query: sql, query_params: params });
      }),
    insert: (table, rows, token) =>
      guard(`insert into ${table}`, async () => {
        if (rows.length === 0) return;
        await client.insert({
          table: `${database}.${table}`,
          values: rows,
          format: 'JSONEachRow',
          clickhouse_settings: insertSettings(token),
        });
      }),
    insertRaw: (table, format, bodies, token) =>
      guard(`insert into ${table}`, async () => {
        // `insert` would take the rows as objects and serialise them; `exec` sends bytes as they are.
        const { stream } = await client.exec({
          query: `INSERT INTO ${localDatabase}.${table} FORMAT ${format}`,
          values: Readable.from(bodies, { objectMode: false }),
          clickhouse_settings: insertSettings(token),
        });
        for await (const _ of stream); // the answer has no body, and is over when that is read
      }),
    ping: async () => {
      try {
        return (await client.ping({ select: true })).success;
      } catch {
        return false;
      }
    },
    close: () => client.close(),
  };
}

const CLUSTER_SETTINGS: ClickHouseSettings = {
  // A subquery sees all shards, not each shard's own rows.
  distributed_product_mode: 'global',
  // An insert is acknowledged when the shards have it, and not when this server means to send it on.
  distributed_foreground_insert: 1,
  // Everybody asks and writes to the same replica of a shard, as long as it is up: what was just written is read.
  load_balancing: 'in_order',
  prefer_localhost_replica: 0,
  // A replica that is down hears of a change of the schema when it is back. (The client's types lack the word.)
  distributed_ddl_output_mode: 'throw_only_active' as ClickHouseSettings['distributed_ddl_output_mode'],
};

const insertSettings = (token: string | undefined): ClickHouseSettings => ({
  // A misspelt column is an error, not a value that quietly goes missing.
  input_format_skip_unknown_fields: 0,
  ...(token && {
    insert_deduplication_token: token,
    deduplicate_blocks_in_dependent_materialized_views: 1,
  }),
});

function translate(error: unknown, what: string, url: string): LoopscopeError {
  if (error instanceof LoopscopeError) return error;
  const { origin } = new URL(url);
  if (error instanceof ClickHouseError) {
    const retryable = RETRYABLE_CODES.has(error.code);
    const hint = NO_SCHEMA_CODES.has(error.code)
      ? ' It lacks the schema of this version of loopscope: any role applies it when it starts, `loopscope up` for one.'
      : '';
    return new LoopscopeError(
      retryable ? 'store_unavailable' : 'store_rejected',
      `ClickHouse at ${origin} refused the ${what}: ${error.type ?? 'error'} ${error.code}: ${firstLine(error.message)}${hint}`,
      { cause: error },
    );
  }
  const reason = error instanceof Error ? firstLine(error.message || String(error.name)) : String(error);
  return new LoopscopeError(
    'store_unavailable',
    `ClickHouse at ${origin} does not answer (${reason}). Is it running? \`loopscope up\` starts it.`,
    { cause: error },
  );
}

const firstLine = (text: string) => text.split('\n', 1)[0]!.trim().slice(0, 500);
