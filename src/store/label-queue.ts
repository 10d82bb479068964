import type { Store } from './client.ts';
import { labelScores, standingLabels } from './labels.ts';
import { LOOK_BACK_DAYS } from './scores.ts';

/**
 * The runs that people are asked about. The sampler looks at a run once, and the row says whether it chose the run and
 * with which probability. So no run is asked about twice, and what was chosen speaks for all rows, each chosen run for
 * 1/probability of them. Should two processes look at a run, the earlier row stands.
 */

/** A run that is over and the sampler has not looked at. */
export interface LabelCandidate {
  runId: string;
  loop: string;
  checkerPass: boolean | null;
  /** Hash of its id, uniform in [0, 1); not the one by which suites choose what they score. */
  u: number;
}

/** Runs that were looked at together. */
export interface LabelDraw {
  loop: string;
  /** Milliseconds since the epoch. */
  at: number;
  /** Labels that the loop's budget has left after it. */
  budgetLeft: number;
  /** `probability` is `null` where the run was passed over. */
  runs: readonly { runId: string; probability: number | null }[];
}

/** A chosen run. */
export interface QueueEntry {
  loop: string;
  run_id: string;
  probability: number;
  /** Milliseconds since the epoch. */
  asked_at: number;
  /** Who labelled it, in alphabetical order; an entry is open while nobody did. */
  raters: string[];
}

/** A run that the sampler looked at, and what came of it. */
export interface LookedAt {
  runId: string;
  checkerPass: boolean | null;
  /** `null` where the run was passed over. */
  probability: number | null;
  /** Mean over its raters; `null` where there are none. */
  label: number | null;
  /** When; runs of one draw have the same. */
  at: number;
}

/** The newest runs that were looked at are what labels are read against. */
const LOOKED_AT_MAX = 50_000;

/** The newest entries are what people get to see. */
export const QUEUE_MAX = 1_000;

const FIRST_ROWS = (db: string, where: string) => `
  SELECT loop, run_id, min(q.considered_at) AS at,
         -- In a tuple, or rows without a probability would not count.
         argMin(tuple(q.probability), (q.considered_at, ifNull(q.probability, 2))).1 AS probability
  FROM ${db}.label_queue AS q ${where} GROUP BY loop, run_id`;

/**
 * The loop's runs in reach that nobody looked at, newest first. A run without an explicit end is over when it was quiet
 * since `idleBefore` (milliseconds).
 */
export async function labelCandidates(
  store: Store,
  query: { loop: string; idleBefore: number; limit: number },
): Promise<LabelCandidate[]> {
  const db = store.database;
  const rows = await store.query<Omit<LabelCandidate, 'checkerPass'> & { checkerPass: number | null }>(
    `SELECT run_id AS runId, loop, checker_pass AS checkerPass,
            sipHash64('label', loop, run_id) / 18446744073709551616 AS u
     FROM ${db}.runs
     WHERE loop = {loop:String}
       AND (state != 'running' OR ended_at < fromUnixTimestamp64Milli({idleBefore:Int64}))
       AND started_at >= (SELECT toStartOfDay(max(started_at), 'UTC') - INTERVAL ${LOOK_BACK_DAYS} DAY
                          FROM ${db}.run_parts WHERE loop = {loop:String})
       AND run_id NOT IN (SELECT run_id FROM ${db}.label_queue WHERE loop = {loop:String})
     ORDER BY started_at DESC, run_id LIMIT {limit:UInt32}`,
    query,
  );
  return rows.map((row) => ({
    ...row,
    checkerPass: row.checkerPass === null ? null : row.checkerPass === 1,
  }));
}

/** When the loop's runs were looked at last, and what that left of its budget; `undefined` where they never were. */
export async function lastDraw(
  store: Store,
  loop: string,
): Promise<Pick<LabelDraw, 'at' | 'budgetLeft'> | undefined> {
  const [row] = await store.query<{ at: number; budgetLeft: number }>(
    `SELECT toUnixTimestamp64Milli(considered_at) AS at, budget_left AS budgetLeft
     FROM ${store.database}.label_queue WHERE loop = {loop:String}
     ORDER BY considered_at DESC, budget_left LIMIT 1`,
    { loop },
  );
  return row;
}

/** Remembers a draw. The same `token` again adds nothing. */
export async function appendDraw(store: Store, { loop, at, budgetLeft, runs }: LabelDraw, token: string) {
  const common = { loop, budget_left: budgetLeft, considered_at: new Date(at).toISOString() };
  await store.insert(
    'label_queue',
    runs.map(({ runId, probability }) => ({ ...common, run_id: runId, probability })),
    token,
  );
}

/**
 * The newest `QUEUE_MAX` chosen runs, those asked about last first; of one loop or of all. Those of one draw come in an
 * order that says nothing of them, so that the ones which get labelled before people lose interest speak for the rest.
 */
export async function labelQueue(store: Store, { loop }: { loop?: string } = {}): Promise<QueueEntry[]> {
  const entries = await store.query<Omit<QueueEntry, 'raters'>>(
    `SELECT loop, run_id, assumeNotNull(probability) AS probability, toUnixTimestamp64Milli(at) AS asked_at
     FROM (${FIRST_ROWS(store.database, loop === undefined ? '' : 'WHERE loop = {loop:String}')}) AS f
     WHERE f.probability IS NOT NULL
     ORDER BY asked_at DESC, sipHash64('queue', loop, run_id), loop, run_id LIMIT {limit:UInt32}`,
    { loop, limit: QUEUE_MAX },
  );
  const labels = Map.groupBy(await standingLabels(store, { loop }), keyOf);
  return entries.map((entry) => ({
    ...entry,
    raters: (labels.get(keyOf(entry)) ?? []).map((label) => label.rater).sort(),
  }));
}

const keyOf = ({ loop, run_id }: { loop: string; run_id: string }) => `${loop}\0${run_id}`;

/** With which probability the sampler chose a run; `null` where it did not. */
export async function probabilityOf(store: Store, loop: string, runId: string): Promise<number | null> {
  const [row] = await store.query<{ probability: number | null }>(
    `SELECT probability FROM (${FIRST_ROWS(store.database, 'WHERE loop = {loop:String} AND run_id = {runId:String}')})`,
    { loop, runId },
  );
  return row?.probability ?? null;
}

/** The loop's newest runs that were looked at, newest draw first; a draw that would not be whole is left out. */
export async function lookedAt(store: Store, loop: string): Promise<LookedAt[]> {
  const rows = await store.query<Omit<LookedAt, 'checkerPass'> & { checkerPass: number | null }>(
    `SELECT f.run_id AS runId, r.checker_pass AS checkerPass, f.probability AS probability,
            l.label_score AS label, toUnixTimestamp64Milli(f.at) AS at
     FROM (SELECT * FROM (${FIRST_ROWS(store.database, 'WHERE loop = {loop:String}')})
           ORDER BY at DESC, run_id LIMIT {limit:UInt32}) AS f
     LEFT JOIN (SELECT run_id, checker_pass FROM ${store.database}.runs WHERE loop = {loop:String}) AS r
       ON r.run_id = f.run_id
     LEFT JOIN (SELECT run_id, label_score FROM (${labelScores(store.database)}) WHERE loop = {loop:String}) AS l
       ON l.run_id = f.run_id
     ORDER BY f.at DESC, f.run_id`,
    { loop, limit: LOOKED_AT_MAX },
  );
  const cut = rows.length === LOOKED_AT_MAX ? rows.at(-1)!.at : undefined;
  return rows
    .filter((row) => row.at !== cut)
    .map((row) => ({ ...row, checkerPass: row.checkerPass === null ? null : row.checkerPass === 1 }));
}
