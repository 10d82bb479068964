import type { Store } from './client.ts';

/**
 * Which loop asked for which model and what came of it. ClickHouse folds each block of spans into it as it is inserted, so
 * that no span is read twice to know it, however late it came.
 */
export interface ModelUse {
  loop: string;
  provider: string;
  requestedModel: string;
  /** `''` where nothing answered. */
  servedModel: string;
  outcome: 'answered' | 'not_found' | 'failed';
  /** Milliseconds since the epoch, as all times here. */
  firstAt: number;
  lastAt: number;
  firstTraceId: string;
  lastTraceId: string;
}

/** What is read at once. Names of models come from callers, who can make up any number of them. */
export const MODEL_USES_MAX = 50_000;

/** Which loops to read: those with calls stored since `storedAfter`, with calls made since `calledAfter`, or by name. */
export interface UsesFilter {
  storedAfter?: number;
  calledAfter?: number;
  loops?: readonly string[];
}

/** All uses of the loops that any part of the filter names, the latest first where there are more than `MODEL_USES_MAX`. */
export async function modelUses(store: Store, filter: UsesFilter): Promise<ModelUse[]> {
  return await store.query<ModelUse>(
    `SELECT u.loop AS loop, u.provider AS provider, u.requested_model AS requestedModel,
       u.served_model AS servedModel, u.outcome AS outcome,
       toUnixTimestamp64Milli(min(u.first_at)) AS firstAt, toUnixTimestamp64Milli(max(u.last_at)) AS lastAt,
       argMinMerge(u.first_trace_id) AS firstTraceId, argMaxMerge(u.last_trace_id) AS lastTraceId
     FROM ${store.database}.model_uses AS u
     WHERE u.loop IN (
       SELECT loop FROM ${store.database}.model_uses
       WHERE stored_at > fromUnixTimestamp64Milli({storedAfter:Int64})
         OR last_at > fromUnixTimestamp64Milli({calledAfter:Int64})
         OR loop IN {loops:Array(String)})
     GROUP BY loop, provider, requestedModel, servedModel, outcome
     ORDER BY lastAt DESC, loop, provider, requestedModel, servedModel, outcome
     LIMIT ${MODEL_USES_MAX}`,
    {
      storedAfter: filter.storedAfter ?? NEVER,
      calledAfter: filter.calledAfter ?? NEVER,
      loops: filter.loops ?? [],
    },
  );
}

/** 2200: later than any time in the tables, and within what a DateTime64(9) can hold. */
const NEVER = Date.UTC(2200, 0, 1);

/** When the newest use was stored; 0 while there is none. */
export async function newestUseAt(store: Store): Promise<number> {
  const [row] = await store.query<{ at: number }>(
    `SELECT toUnixTimestamp64Milli(max(stored_at)) AS at FROM ${store.database}.model_uses`,
  );
  return row?.at ?? 0;
}

export type Watermark = 'uses' | 'history';

/** 0 where there is none. */
export async function readWatermark(store: Store, name: Watermark): Promise<number> {
  const [row] = await store.query<{ at: number }>(
    `SELECT toUnixTimestamp64Milli(max(at)) AS at FROM ${store.database}.model_watermarks WHERE name = {name:String}`,
    { name },
  );
  return row?.at ?? 0;
}

export async function writeWatermark(store: Store, name: Watermark, at: number): Promise<void> {
  await store.insert(
    'model_watermarks',
    [{ name, at: new Date(at).toISOString() }],
    `watermark/${name}/${at}`,
  );
}

/**
 * Folds in the spans from before there was such a table, once, a day at a time. Should it be cut off, or two
 * processes do it at once, nothing counts double: the table keeps minima and maxima only.
 */
export async function foldHistory(store: Store, now: number): Promise<void> {
  if ((await readWatermark(store, 'history')) > 0) return;
  const db = store.localDatabase; // of a cluster each server's own, where the view is
  // What counts as a use is said in the view, and only there.
  const [view] = await store.query<{ select: string }>(
    `SELECT as_select AS select FROM system.tables WHERE database = {db:String} AND name = 'model_uses_mv'`,
    { db },
  );
  const days = await store.query<{ day: string }>(
    `SELECT DISTINCT partition AS day FROM system.parts
     WHERE active AND database = {db:String} AND table = 'otel_traces' ORDER BY day`,
    { db },
  );
  for (const { day } of days)
    await store.command(
      `INSERT INTO ${db}.model_uses (${COLUMNS.join(', ')}) ${view!.select}
       SETTINGS additional_table_filters = {'${db}.otel_traces': 'toDate(Timestamp) = toDate(\\'${day}\\')'}`,
    );
  await writeWatermark(store, 'history', now);
}

const COLUMNS = [
  'loop',
  'provider',
  'requested_model',
  'served_model',
  'outcome',
  'first_at',
  'last_at',
  'first_trace_id',
  'last_trace_id',
  'stored_at',
];
