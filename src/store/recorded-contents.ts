import { A, REPLAY_RECORD_PREFIX } from '../span/attributes.ts';
import type { Store } from './client.ts';
import { type HashList, readHashes } from './hash-list.ts';
import { chunks, type RecordedSpan } from './recordings.ts';

/**
 * The content that the spans of a recording refer to by hash. It lies by the trace that it first came in, so that a run's own is
 * one stretch however much is stored, and can be read beside the spans; what the run shares with others before it is looked up
 * by hash once the spans are there.
 */

/** A piece of content. */
export interface StoredContent {
  role: string;
  content: string;
}

/** What first came in these traces, by hash: most of what their spans refer to. What is not kept is not in the map. */
export async function recordedContents(
  store: Store,
  traceIds: readonly string[],
): Promise<Map<string, StoredContent>> {
  const contents = new Map<string, StoredContent>();
  await addContents(contents, store, 'trace_id IN {traceIds:Array(String)} LIMIT 1 BY hash', { traceIds });
  return contents;
}

/** What is shared mostly comes from few traces, such as the run of which this is a replay: so many hashes tell which. */
const SHARED_ASKED = 16;
const SHARING_TRACES_MAX = 16;

/**
 * Adds to `contents` what calls and tools among `spans` refer to and it has not: messages, and what was sent under `names`.
 * Most of it came in other traces before; of what was stored before it was known by which trace, it may be all.
 */
export async function addSharedContents(
  store: Store,
  contents: Map<string, StoredContent>,
  spans: readonly RecordedSpan[],
  names: readonly string[],
): Promise<void> {
  const wanted = new Set<string>();
  const seen = new Set<HashList>();
  const isNamed = new Set(names);
  const want = (hashes: readonly string[]) => {
    for (const hash of hashes) if (!contents.has(hash)) wanted.add(hash);
  };
  for (const span of spans) tellHashes(span, isNamed, seen, want);
  if (wanted.size > SHARED_ASKED) {
    const traceIds = await tracesSharing(store, [...wanted]);
    if (traceIds.length > 0) await addByHash(contents, store, [...wanted], { traceIds });
    for (const hash of wanted) if (contents.has(hash)) wanted.delete(hash);
  }
  await addByHash(contents, store, [...wanted]);
}

/** Traces in which `hashes` came first, as some of them, spread over all, tell. */
async function tracesSharing(store: Store, hashes: readonly string[]): Promise<string[]> {
  const every = Math.ceil(hashes.length / SHARED_ASKED);
  const asked = hashes.filter((_, i) => i % every === 0);
  const rows = await store.query<{ traceId: string }>(
    `SELECT DISTINCT trace_id AS traceId FROM ${store.database}.messages WHERE hash IN {asked:Array(String)} LIMIT {limit:UInt32}`,
    { asked, limit: SHARING_TRACES_MAX },
  );
  return rows.map(({ traceId }) => traceId);
}

/** The server bounds how long a parameter may be. */
const HASHES_PER_PARAMETER = 1_500;
const PARAMETERS_PER_QUERY = 20;

/** `of`: only what came in these traces, which is faster. */
async function addByHash(
  contents: Map<string, StoredContent>,
  store: Store,
  hashes: readonly string[],
  of?: { traceIds: readonly string[] },
): Promise<void> {
  // The more are looked for at once, the less can an index leave out; then one query is better than several.
  for (const some of chunks(hashes, HASHES_PER_PARAMETER * PARAMETERS_PER_QUERY)) {
    const lists = chunks(some, HASHES_PER_PARAMETER);
    const params = lists.map((_, i) => `{h${i}:Array(String)}`);
    const isOne = `hash IN ${params.length === 1 ? params[0] : `arrayConcat(${params.join(', ')})`} LIMIT 1 BY hash`;
    // Where the order of the table says where they are, the index of hashes would only cost.
    const inTraces = `trace_id IN {traceIds:Array(String)} AND ${isOne} SETTINGS use_skip_indexes = 0`;
    await addContents(contents, store, of ? inTraces : isOne, {
      ...of,
      ...Object.fromEntries(lists.map((list, i) => [`h${i}`, list])),
    });
  }
}

/** Tells what a span refers to. `seen`: histories that were gone through, each once however many go on from it. */
function tellHashes(
  { attributes: a, input, contents, record, operation }: RecordedSpan,
  isNamed: ReadonlySet<string>,
  seen: Set<HashList>,
  tell: (hashes: readonly string[]) => void,
): void {
  if (record !== 'call' && record !== `${REPLAY_RECORD_PREFIX}call` && operation !== 'execute_tool') return;
  for (let at = input; at && !seen.has(at); at = at.before) {
    seen.add(at);
    tell(at.added);
  }
  const asked = input ? undefined : a[A.inputTextHash];
  if (asked !== undefined) tell([asked]);
  const answered = a[A.outputMessageHashes];
  const text = answered === undefined ? a[A.outputTextHash] : undefined;
  if (text !== undefined) tell([text]);
  tell(readHashes(answered));
  for (const name in contents) if (isNamed.has(name)) tell(readHashes(contents[name]));
}

async function addContents(
  contents: Map<string, StoredContent>,
  store: Store,
  where: string,
  params: Record<string, unknown>,
): Promise<void> {
  const blocks = store.blocks(
    `SELECT hash, role, content FROM ${store.database}.messages WHERE ${where}`,
    params,
  );
  for await (const block of blocks) {
    const [hash, role, content] = [block.texts('hash'), block.texts('role'), block.texts('content')];
    for (let i = 0; i < block.rows; i++)
      contents.set(hash.at(i), { role: role.at(i), content: content.at(i) });
  }
}
