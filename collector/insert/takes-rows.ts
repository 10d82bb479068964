import type { Store } from '../../src/store/client.ts';

/** Whether the tables can be read: was data refused for itself, or for a table that is missing? */
export async function takesRows(store: Store): Promise<boolean> {
  try {
    await store.query(`SELECT 1 FROM ${store.database}.otel_traces LIMIT 1`);
    await store.query(`SELECT 1 FROM ${store.database}.messages LIMIT 1`);
    return true;
  } catch {
    return false;
  }
}
