import type { Store } from './client.ts';
import { contentsOf } from './scores.ts';

/** A run as a person who judges it has to see it. Texts are `null` where they were not kept. */
export interface RunContent {
  loop: string;
  runId: string;
  traceId: string;
  /** Milliseconds since the epoch. */
  startedAt: number;
  state: 'running' | 'ended' | 'failed';
  servedModel: string;
  checkerName: string;
  checkerPass: boolean | null;
  effects: number;
  /** What the maker was asked first: one text, or each message with its role before it. */
  input: string | null;
  /** What it answered last. */
  output: string | null;
  /** The right answer, where golden data have one. */
  expected: string | null;
}

interface Facts extends Omit<RunContent, 'checkerPass' | 'input' | 'output' | 'expected'> {
  checkerPass: number | null;
  itemId: string;
  inputHash: string;
  outputHash: string;
}

/**
 * A run of `loop`; `undefined` where there is no such run. What was expected comes from the versions in force of
 * `datasets`, the first that has the run's item.
 */
export async function runContent(
  store: Store,
  { loop, runId, datasets }: { loop: string; runId: string; datasets: readonly string[] },
): Promise<RunContent | undefined> {
  const [facts] = await store.query<Facts>(
    `SELECT loop, run_id AS runId, trace_id AS traceId, toUnixTimestamp64Milli(r.started_at) AS startedAt, state,
            maker_served_model AS servedModel, checker_name AS checkerName, checker_pass AS checkerPass, effects,
            item_id AS itemId, input_hash AS inputHash, output_hash AS outputHash
     FROM ${store.database}.runs AS r WHERE loop = {loop:String} AND run_id = {runId:String}`,
    { loop, runId },
  );
  if (!facts) return undefined;
  const { itemId, inputHash, outputHash, checkerPass, ...run } = facts;
  const inputHashes = await hashesOfInput(store, facts);
  const contents = await contentsOf(store, [...inputHashes, outputHash]);
  const messages = inputHashes.flatMap((hash) => contents.get(hash) ?? []);
  return {
    ...run,
    checkerPass: checkerPass === null ? null : checkerPass === 1,
    input: messages.length === 0 ? null : messages.join('\n'),
    output: contents.get(outputHash) ?? null,
    expected: await expectedOf(store, datasets, { itemId, inputHash }),
  };
}

/** Messages of a first call that are shown; an agent's first call has few. */
const MESSAGES_MAX = 50;

/** The hashes under which the input's content is kept: the plain text's, else those of the first call's messages. */
async function hashesOfInput(
  store: Store,
  { loop, runId, traceId }: Pick<Facts, 'loop' | 'runId' | 'traceId'>,
): Promise<string[]> {
  const [call] = await store.query<{ text: string; messages: string[] }>(
    `SELECT SpanAttributes['loopscope.input.text.hash'] AS text,
            JSONExtract(SpanAttributes['loopscope.input.messages.hashes'], 'Array(String)') AS messages
     FROM ${store.database}.otel_traces
     WHERE TraceId = {traceId:String} AND RunId = {runId:String} AND Loop = {loop:String}
       AND AgentRole = 'maker' AND Record = 'call' AND (text != '' OR notEmpty(messages))
     ORDER BY Timestamp, SpanId LIMIT 1`,
    { loop, runId, traceId },
  );
  if (!call) return [];
  return call.text === '' ? call.messages.slice(0, MESSAGES_MAX) : [call.text];
}

async function expectedOf(
  store: Store,
  datasets: readonly string[],
  { itemId, inputHash }: Pick<Facts, 'itemId' | 'inputHash'>,
): Promise<string | null> {
  const [item] = await store.query<{ expected: string }>(
    `SELECT expected FROM ${store.database}.golden_items
     WHERE dataset IN {datasets:Array(String)} AND (item_id = {itemId:String} OR input_hash = {inputHash:String})
       AND (dataset, version) IN (
         SELECT g.dataset, argMax(g.version, (g.imported_at, g.version)) FROM ${store.database}.golden_items AS g
         WHERE g.dataset IN {datasets:Array(String)} GROUP BY g.dataset)
     ORDER BY indexOf({datasets:Array(String)}, dataset), item_id = {itemId:String} DESC LIMIT 1`,
    { datasets, itemId, inputHash },
  );
  return item?.expected ?? null;
}
