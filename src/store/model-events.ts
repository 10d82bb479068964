import type { Store } from './client.ts';

/** What became known of the models that loops use, and the calendar of retirements that it rests on. */

export type ModelEventKind = 'served_model_changed' | 'retirement_near' | 'model_not_found';

export interface ModelEvent {
  /** Made of what happened, so that whoever finds it finds the same id. */
  event_id: string;
  /** Milliseconds since the epoch. */
  at: number;
  kind: ModelEventKind;
  loop: string;
  provider: string;
  /** The model that the event is about. */
  model: string;
  requested_model: string;
  served_model: string;
  /** What answered before; `''` where that is not what the event is about. */
  previous_model: string;
  /** `YYYY-MM-DD`; `null` where no date is known. */
  retires_at: string | null;
  replacement: string;
  source: string;
  /** A call that shows it. */
  trace_id: string;
}

/** Appends an event. Told again it adds nothing. */
export async function appendModelEvent(store: Store, event: ModelEvent): Promise<void> {
  await store.insert(
    'model_events',
    [{ ...event, at: new Date(event.at).toISOString() }],
    `model-event/${event.event_id}`,
  );
}

/** Those of `ids` that are told already. */
export async function toldModelEvents(store: Store, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await store.query<{ event_id: string }>(
    `SELECT DISTINCT event_id FROM ${store.database}.model_events WHERE event_id IN {ids:Array(String)}`,
    { ids },
  );
  return new Set(rows.map((row) => row.event_id));
}

/** The newest events, newest first; of one loop or of all. */
export async function listModelEvents(
  store: Store,
  { loop, limit }: { loop?: string; limit: number },
): Promise<ModelEvent[]> {
  return await store.query<ModelEvent>(
    `SELECT * FROM (
       SELECT event_id, toUnixTimestamp64Milli(e.at) AS at, kind, loop, provider, model, requested_model, served_model,
         previous_model, toString(e.retires_at) AS retires_at, replacement, source, trace_id
       FROM ${store.database}.model_events AS e
       ${loop === undefined ? '' : 'WHERE e.loop = {loop:String}'}
       ORDER BY e.at DESC LIMIT 1 BY event_id)
     ORDER BY at DESC, event_id LIMIT {limit:UInt32}`,
    { loop, limit },
  );
}

/** `shipped` with the program, `settings`: the operator's file or URL, `list`: what the provider's own model list says. */
export type CalendarOrigin = 'shipped' | 'settings' | 'list';

export interface CalendarRow {
  origin: CalendarOrigin;
  provider: string;
  model: string;
  /** `YYYY-MM-DD` */
  retires_at: string;
  /** `''` where none is named. */
  replacement: string;
  source: string;
  /** `YYYY-MM-DD`: when the source was read. */
  checked_at: string;
}

/** The calendar in force by the tables; `undefined` while no evaluator has stored one. */
export async function storedCalendar(
  store: Store,
): Promise<{ version: string; rows: CalendarRow[] } | undefined> {
  const rows = await store.query<CalendarRow & { version: string }>(
    `SELECT version, origin, provider, model, toString(c.retires_at) AS retires_at, replacement, source,
       toString(c.checked_at) AS checked_at
     FROM ${store.database}.model_calendar AS c
     WHERE (c.stored_at, c.version) =
       (SELECT stored_at, version FROM ${store.database}.model_calendar ORDER BY stored_at DESC, version LIMIT 1)
     ORDER BY provider, model`,
  );
  const [first] = rows;
  return first && { version: first.version, rows: rows.map(({ version: _, ...row }) => row) };
}

/** Puts a calendar in force. */
export async function storeCalendar(
  store: Store,
  { version, at }: { version: string; at: number },
  rows: readonly CalendarRow[],
): Promise<void> {
  const stored_at = new Date(at).toISOString();
  await store.insert(
    'model_calendar',
    rows.map((row) => ({ version, stored_at, ...row })),
    `model-calendar/${version}/${at}`,
  );
}
