import type { Config } from '../config.ts';
import type { Store } from './client.ts';
import { onCluster } from './schema.ts';

/**
 * How long rows are kept, as TTLs of the tables. What is derived from spans (runs, scores, alerts) is small, holds no
 * content, and is what a loop is measured by: it stays.
 *
 * A row goes by its own time, so that history which is imported may go at once. A message goes by `stored_at`, when
 * it was last inserted: one that is sent again is inserted again, though at most once in an hour by one collector. Of
 * those that came in one trace ReplacingMergeTree keeps the newest. So a message outlives the last span that refers to it
 * by the days that are set, less an hour.
 *
 * Only TTLs of the form that is written here are ever removed: an operator's own stay where no setting is.
 */
export interface Retention {
  table: string;
  setting: keyof Config['retention'];
  /** As it is now; `undefined` is for ever, and so is a TTL that is not ours. */
  days: number | undefined;
}

interface Lifetime {
  setting: keyof Config['retention'];
  /** A row's time, as ClickHouse writes the expression back. */
  time: string;
}

const byTraces = (time: string): Lifetime => ({ setting: 'traces_days', time });
const byMetrics: Lifetime = { setting: 'metrics_days', time: 'TimeUnix' };

const LIFETIMES: Readonly<Record<string, Lifetime>> = {
  otel_traces: byTraces('toDateTime(Timestamp)'),
  otel_traces_trace_id_ts: byTraces('End'),
  messages: { setting: 'messages_days', time: 'stored_at' },
  otel_logs: { setting: 'logs_days', time: 'toDateTime(Timestamp)' },
  otel_metrics_gauge: byMetrics,
  otel_metrics_sum: byMetrics,
  otel_metrics_histogram: byMetrics,
  otel_metrics_exponential_histogram: byMetrics,
  otel_metrics_summary: byMetrics,
};

/** What is in force, a row a table that is there. */
export async function readRetention(store: Store): Promise<Retention[]> {
  return (await readTtls(store)).map(({ table, ttl }) => {
    const { setting, time } = LIFETIMES[table]!;
    const ours = ttl.startsWith(`${time} + `) ? /toIntervalDay\((\d+)\)$/.exec(ttl) : null;
    return { table, setting, days: ours ? Number(ours[1]) : undefined };
  });
}

/**
 * Makes the tables keep rows as long as `wanted` says, and returns those that were changed. Rows that are there
 * already are covered too, without being written again: only when they expire is worked out anew, in the background.
 */
export async function applyRetention(store: Store, wanted: Config['retention']): Promise<string[]> {
  const changed: string[] = [];
  for (const { table, setting, days } of await readRetention(store)) {
    const want = wanted[setting];
    if (want === days) continue;
    const at = `ALTER TABLE ${store.localDatabase}.${table} ${onCluster(store)}`;
    if (want === undefined) await store.command(`${at} REMOVE TTL`);
    else {
      await store.command(`${at} MODIFY SETTING materialize_ttl_recalculate_only = 1`);
      await store.command(
        `${at} MODIFY TTL ${LIFETIMES[table]!.time} + toIntervalDay(${want})
         SETTINGS materialize_ttl_after_modify = 1, mutations_sync = 0`,
      );
    }
    changed.push(table);
  }
  return changed;
}

const readTtls = (store: Store) =>
  store.query<{ table: string; ttl: string }>(
    `SELECT name AS table, extract(engine_full, ' TTL (.+?)(?: SETTINGS |$)') AS ttl
     FROM system.tables WHERE database = {db:String} AND name IN {tables:Array(String)} ORDER BY name`,
    { db: store.localDatabase, tables: Object.keys(LIFETIMES) },
  );
