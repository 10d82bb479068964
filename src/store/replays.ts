import type { Store } from './client.ts';

/** Replays of runs: what each was and what came of it, a row each. */
export interface ReplayRow {
  replayId: string;
  loop: string;
  /** The run that was replayed. */
  runId: string;
  traceId: string;
  mode: 'exact' | 'model' | 'live';
  drivenBy: 'record' | 'loop';
  /** What was other than recorded; a prompt by its version. */
  overrides: Record<string, unknown>;
  outcome: 'done' | 'until' | 'stopped';
  matched: number;
  near: number;
  skipped: number;
  divergences: number;
  /** Its kind; `''` where there is none. */
  firstDivergence: string;
  checkerPass: boolean | null;
  goldenScore: number | null;
  costUsd: number | null;
  /** Milliseconds since the epoch. */
  at: number;
}

/** Appends one. The same told again adds nothing. */
export async function appendReplay(store: Store, replay: ReplayRow): Promise<void> {
  const row = {
    replay_id: replay.replayId,
    loop: replay.loop,
    run_id: replay.runId,
    trace_id: replay.traceId,
    mode: replay.mode,
    driven_by: replay.drivenBy,
    overrides: JSON.stringify(replay.overrides),
    outcome: replay.outcome,
    matched: replay.matched,
    near: replay.near,
    skipped: replay.skipped,
    divergences: replay.divergences,
    first_divergence: replay.firstDivergence,
    checker_pass: replay.checkerPass === null ? null : Number(replay.checkerPass),
    golden_score: replay.goldenScore,
    cost_usd: replay.costUsd,
    at: new Date(replay.at).toISOString(),
  };
  await store.insert('replays', [row], JSON.stringify(['replay', replay.loop, replay.replayId]));
}

/** Where the spans of a replay are; `undefined` where there is none of that id. */
export async function replayNamed(
  store: Store,
  replayId: string,
): Promise<{ loop: string; traceId: string } | undefined> {
  const [row] = await store.query<{ loop: string; traceId: string }>(
    `SELECT loop, trace_id AS traceId FROM ${store.database}.replays
     WHERE replay_id = {replayId:String} ORDER BY at DESC LIMIT 1`,
    { replayId },
  );
  return row;
}

/** At most so many replays of a run are read, the newest. */
export const REPLAYS_MAX = 1_000;

/** The replays of a run, newest first. */
export async function replaysOf(store: Store, loop: string, runId: string): Promise<ReplayRow[]> {
  const rows = await store.query<
    Omit<ReplayRow, 'overrides' | 'checkerPass'> & { overrides: string; checkerPass: number | null }
  >(
    `SELECT replay_id AS replayId, loop, run_id AS runId, trace_id AS traceId, mode, driven_by AS drivenBy, overrides,
            outcome, matched, near, skipped, divergences, first_divergence AS firstDivergence,
            checker_pass AS checkerPass, golden_score AS goldenScore, cost_usd AS costUsd,
            toUnixTimestamp64Milli(at) AS at
     FROM ${store.database}.replays WHERE loop = {loop:String} AND run_id = {runId:String}
     ORDER BY replays.at DESC, replay_id LIMIT {limit:UInt32}`,
    { loop, runId, limit: REPLAYS_MAX },
  );
  return rows.map((row) => ({
    ...row,
    overrides: JSON.parse(row.overrides) as Record<string, unknown>,
    checkerPass: row.checkerPass === null ? null : row.checkerPass === 1,
  }));
}
