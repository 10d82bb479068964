import type { Store } from './client.ts';

/** How a loop stands, as dashboards have it. Times are milliseconds since the epoch; `null` is "nobody knows". */
export interface LoopStandingRow {
  loop: string;
  state: string;
  /** 1 is the worst state. */
  rank: number;
  owner: string;
  registered: boolean;
  last_run_at: number | null;
  since: number | null;
  alert_id: string;
  alert_kind: string;
  what_changed: string;
  golden_n: number;
  golden_score: number | null;
  golden_low: number | null;
  golden_high: number | null;
  phase: string;
  e_value: number;
  threshold: number;
}

/** Stores how all loops stood at `lookedAt` (milliseconds). A loop that is not among `rows` is gone. */
export async function storeStandings(
  store: Store,
  rows: readonly LoopStandingRow[],
  lookedAt: number,
): Promise<void> {
  const time = (at: number | null) => at && new Date(at).toISOString();
  await store.insert(
    'loop_standings',
    rows.map((row) => ({
      ...row,
      registered: Number(row.registered),
      last_run_at: time(row.last_run_at),
      since: time(row.since),
      looked_at: time(lookedAt),
    })),
  );
}
