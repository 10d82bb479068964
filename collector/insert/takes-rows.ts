import { TABLES } from '../../src/span/batch.ts';
import type { Store } from '../../src/store/client.ts';

/** Whether the tables can be read: was data refused for itself, or for a table that is missing? */
export async function takesRows(store: Store): Promise<boolean> {
  try {
    for (const table of TABLES) await store.query(`SELECT 1 FROM ${store.database}.${table} LIMIT 1`);
    return true;
  } catch {
    return false;
  }
}
