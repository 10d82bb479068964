import type { Store } from './client.ts';
import { contentsOf } from './scores.ts';

/** Probes and the jobs that sent them, and the recorded calls that their requests are modelled on. */

export type ProbeReason = 'schedule' | 'model_change';
export type ProbeKind = 'maker' | 'checker';

export interface ProbeRow {
  /** Under which its span is found: `loopscope.probe.run.id`. It is no run of the loop. */
  run_id: string;
  job_id: string;
  suite: string;
  loop: string;
  reason: ProbeReason;
  kind: ProbeKind;
  item_id: string;
  /** Of the item's input and expected answer: two probes of one hash asked the same. */
  item_hash: string;
  /** What the checker was given; `''` for the maker. */
  truth: 'right' | 'wrong' | '';
  template_version: string;
  /** `''` where nothing answered or nobody said. */
  served_model: string;
  /** Golden score of the maker's answer; `null` where there is none: `error` then says why. */
  score: number | null;
  /** The checker's verdict; `null` where there is none. */
  passed: boolean | null;
  error: string;
  trace_id: string;
  /** Milliseconds since the epoch, as all times here: when it was over. */
  at: number;
}

export interface ProbeJobRow {
  job_id: string;
  suite: string;
  loop: string;
  reason: ProbeReason;
  due_at: number;
  /** The change of model it is for; `''` on schedule. */
  event_id: string;
  state: 'started' | 'done' | 'failed';
  at: number;
  planned: number;
  answered: number;
  errors: number;
  message: string;
}

/** Probes of one suite that are read at once, the newest. */
export const PROBES_READ_MAX = 20_000;

/** Appends a probe that is over. Told again, after an answer was lost, it adds nothing. */
export async function insertProbe(store: Store, row: ProbeRow): Promise<void> {
  const passed = row.passed === null ? null : Number(row.passed);
  await store.insert(
    'probes',
    [{ ...row, passed, at: new Date(row.at).toISOString() }],
    `probe/${row.run_id}`,
  );
}

/** The probes of a suite that are over, oldest first; should one be there twice, it is read once. */
export async function probesOf(
  store: Store,
  { suite, loop, kind }: { suite: string; loop: string; kind: ProbeKind },
): Promise<ProbeRow[]> {
  const rows = await store.query<Omit<ProbeRow, 'passed'> & { passed: number | null }>(
    `SELECT * FROM (
       SELECT run_id, job_id, suite, loop, reason, kind, item_id, item_hash, truth, template_version, served_model,
         score, passed, error, trace_id, toUnixTimestamp64Milli(p.at) AS at
       FROM ${store.database}.probes AS p
       WHERE suite = {suite:String} AND loop = {loop:String} AND kind = {kind:String}
       ORDER BY p.at DESC, run_id DESC LIMIT 1 BY run_id LIMIT {limit:UInt32})
     ORDER BY at, run_id`,
    { suite, loop, kind, limit: PROBES_READ_MAX },
  );
  return rows.map((row) => ({ ...row, passed: row.passed === null ? null : row.passed === 1 }));
}

/** A job's probes that are over, by run id, with their error, `''` for none. */
export async function probesDone(
  store: Store,
  { job_id, suite }: Pick<ProbeJobRow, 'job_id' | 'suite'>,
): Promise<Map<string, string>> {
  const rows = await store.query<{ run_id: string; error: string }>(
    `SELECT run_id, error FROM ${store.database}.probes
     WHERE suite = {suite:String} AND job_id = {job_id:String} LIMIT 1 BY run_id`,
    { suite, job_id },
  );
  return new Map(rows.map((row) => [row.run_id, row.error]));
}

/** Appends a change of a job's state. It ends once: the same end told again adds nothing. */
export async function appendProbeJob(store: Store, job: ProbeJobRow): Promise<void> {
  await store.insert(
    'probe_jobs',
    [{ ...job, due_at: new Date(job.due_at).toISOString(), at: new Date(job.at).toISOString() }],
    job.state === 'started' ? undefined : `probe-job/${job.job_id}/end`,
  );
}

/** The jobs of a suite that are due since `since`, and the newest of each reason, in their newest states; oldest first. */
export async function probeJobs(
  store: Store,
  { suite, since = 0 }: { suite: string; since?: number },
): Promise<ProbeJobRow[]> {
  return await store.query<ProbeJobRow>(
    `SELECT * FROM (
       SELECT job_id, suite, loop, reason, toUnixTimestamp64Milli(j.due_at) AS due_at, event_id, state,
         toUnixTimestamp64Milli(j.at) AS at, planned, answered, errors, message
       FROM ${store.database}.probe_jobs AS j
       WHERE suite = {suite:String} AND (j.due_at >= fromUnixTimestamp64Milli({since:Int64})
         OR (reason, j.due_at) IN (
           SELECT reason, max(due_at) FROM ${store.database}.probe_jobs WHERE suite = {suite:String} GROUP BY reason))
       ORDER BY state != 'started' DESC, j.at DESC LIMIT 1 BY job_id)
     ORDER BY due_at, job_id`,
    { suite, since },
  );
}

/** What the spans of a suite's probes say that they cost; `null` where nobody said. */
export async function probeCost(
  store: Store,
  { suite, loop }: { suite: string; loop: string },
): Promise<number | null> {
  const [row] = await store.query<{ cost: number | null }>(
    `SELECT sum(CostUsd) AS cost FROM ${store.database}.otel_traces
     WHERE Loop = {loop:String} AND Record = 'call' AND SpanAttributes['loopscope.probe.suite'] = {suite:String}`,
    { suite, loop },
  );
  return row?.cost ?? null;
}

/** The first call that an agent made in the newest run it took part in, with what was said, where that was kept. */
export interface RecordedCall {
  runId: string;
  provider: string;
  model: string;
  responseId: string;
  toolsVersion: string;
  /** As the caller named it, or else a hash of what the system's messages said. */
  promptVersion: string;
  maxTokens: number | null;
  temperature: number | null;
  topP: number | null;
  seed: number | null;
  /** Each message as the GenAI conventions write it, in JSON; `undefined` where one was not kept. */
  messages: (string | undefined)[];
  /** First input and last answer of the run's maker; `undefined` where they were not kept. */
  makerInput: string | undefined;
  makerOutput: string | undefined;
}

/** `undefined` where the agent never made a call in a run. */
export async function newestFirstCall(
  store: Store,
  { loop, agent }: { loop: string; agent: string },
): Promise<RecordedCall | undefined> {
  interface Row extends Omit<RecordedCall, 'messages' | 'makerInput' | 'makerOutput'> {
    hashes: string;
    inputHash: string;
    outputHash: string;
  }
  const [row] = await store.query<Row>(
    `WITH SpanAttributes AS a, newest AS (
       SELECT run_id, output_hash FROM ${store.database}.runs
       WHERE loop = {loop:String} AND has(agents, {agent:String}) ORDER BY started_at DESC, run_id DESC LIMIT 1)
     SELECT RunId AS runId, Provider AS provider, RequestModel AS model, a['gen_ai.response.id'] AS responseId,
       a['loopscope.tools.version'] AS toolsVersion, a['loopscope.prompt.version'] AS promptVersion,
       toUInt64OrNull(a['gen_ai.request.max_tokens']) AS maxTokens,
       toFloat64OrNull(a['gen_ai.request.temperature']) AS temperature,
       toFloat64OrNull(a['gen_ai.request.top_p']) AS topP, toInt64OrNull(a['gen_ai.request.seed']) AS seed,
       a['loopscope.input.messages.hashes'] AS hashes,
       (SELECT argMin(SpanAttributes['loopscope.input.text.hash'], Timestamp) FROM ${store.database}.otel_traces
        WHERE Loop = {loop:String} AND RunId = (SELECT run_id FROM newest) AND Record = 'call' AND AgentRole = 'maker')
         AS inputHash,
       (SELECT output_hash FROM newest) AS outputHash
     FROM ${store.database}.otel_traces
     WHERE Loop = {loop:String} AND RunId = (SELECT run_id FROM newest) AND Record = 'call' AND Agent = {agent:String}
     ORDER BY Timestamp LIMIT 1`,
    { loop, agent },
  );
  if (!row) return undefined;
  const { hashes, inputHash, outputHash, ...call } = row;
  const wanted = hashes === '' ? [] : (JSON.parse(hashes) as string[]);
  const contents = await contentsOf(store, [...wanted, inputHash, outputHash]);
  return {
    ...call,
    messages: wanted.map((hash) => contents.get(hash)),
    makerInput: contents.get(inputHash),
    makerOutput: contents.get(outputHash),
  };
}
