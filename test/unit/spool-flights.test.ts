import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { seededRandom } from '../../src/clock.ts';
import type { Chunk } from '../../src/span/batch.ts';
import type { Insert } from '../../src/spool/batch.ts';
import { FLIGHTS_MAX } from '../../src/spool/deliver.ts';
import type { Delivery } from '../../src/spool/insertion.ts';
import {
  digestOf,
  MemoryStore,
  openTestSpool,
  requestOf,
  TestDisk,
  temporaryFolder,
} from '../support/spool.ts';
import { until } from '../support/until.ts';

const temporary = temporaryFolder();
after(() => temporary.remove());
let folders = 0;
const newFolder = () => {
  const folder = join(temporary.path, String(++folders));
  mkdirSync(folder);
  return folder;
};
const flushed = (spool: Awaited<ReturnType<typeof openTestSpool>>) =>
  spool.flush(AbortSignal.timeout(10_000));

/** A request that says it is large, so that few make a full batch; its rows are in two tables. */
const wideRequest = (id: string): Chunk[] => {
  const [messages, spans] = requestOf(id) as [Chunk, Chunk];
  return [messages, { ...spans, rows: 20_000 }, { ...spans, table: 'otel_logs', rows: 20_000 }];
};

/** Ends inserts in any order, and knows which were under way at the same time. */
class UnorderedStore {
  readonly store = new MemoryStore();
  /** Rows by table and id. */
  readonly rows = new Map<string, number>();
  readonly tokens = new Set<string>();
  readonly early: string[] = [];
  atOnce = 0;
  atOnceMax = 0;
  private readonly messages = new Set<string>();
  private readonly random: () => number;
  /** Ids of requests that are refused, by table. */
  refuses: (table: string, id: string) => boolean = () => false;
  loses = 0.1;

  constructor(random: () => number) {
    this.random = random;
  }

  readonly deliver = async (insert: Insert): Promise<Delivery> => {
    this.atOnceMax = Math.max(this.atOnceMax, ++this.atOnce);
    const ids = Buffer.concat(insert.bodies)
      .toString()
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as { id: string }).id.split('/')[0]!);
    if (insert.table !== 'messages')
      this.early.push(...ids.filter((id) => !this.messages.has(id.replace(/^later-/, 'r-'))));
    for (let n = Math.floor(this.random() * 12); n > 0; n--) await new Promise(setImmediate);
    this.atOnce--;
    if (this.random() < this.loses) return { kind: 'unavailable', message: 'away' };
    if (ids.some((id) => this.refuses(insert.table, id))) return { kind: 'rejected', message: 'bad' };
    if (!this.tokens.has(insert.token)) {
      this.tokens.add(insert.token);
      for (const id of ids) {
        if (insert.table === 'messages') this.messages.add(id);
        else this.rows.set(`${insert.table} ${id}`, (this.rows.get(`${insert.table} ${id}`) ?? 0) + 1);
      }
    }
    return this.random() < this.loses ? { kind: 'unavailable', message: 'no answer' } : { kind: 'stored' };
  };
}

const LIVES = Number(process.env['LOOPSCOPE_LIVES'] ?? 20);
const REQUESTS = 24;
test(`batches under way together end in any order, and a process that ends at any moment loses and doubles nothing (${LIVES} lives)`, async () => {
  let atOnceMax = 0;
  for (let seed = 1; seed <= LIVES; seed++) {
    const random = seededRandom(seed);
    const folder = newFolder();
    const sink = new UnorderedStore(random);
    const refused = new Set(random() < 0.5 ? [] : [3, 11, 12].map((i) => `r-${i}`));
    sink.refuses = (table, id) => table === 'otel_logs' && refused.has(id);
    const options = { segmentBytesMax: 4_000, deliver: sink.deliver };
    const disk = new TestDisk({ crashAt: 20 + Math.floor(random() * 160), moment: 'after' });
    const acknowledged = new Set<string>();
    const ids = Array.from({ length: REQUESTS }, (_, i) => `r-${i}`);
    const send = async (spool: Awaited<ReturnType<typeof openTestSpool>>) => {
      const kept = await Promise.all(ids.map((id) => spool.append(digestOf(id), wideRequest(id))));
      kept.forEach(({ kind }, i) => {
        if (kind === 'kept' || kind === 'repeated') acknowledged.add(ids[i]!);
      });
    };
    let spool = await openTestSpool(folder, sink.store, { ...options, files: disk.files });
    await send(spool);
    if (random() < 0.7) await spool.flush(AbortSignal.timeout(20)).catch(() => {});
    await spool.close(0);
    await disk.closeAll();
    disk.cutPower();
    spool = await openTestSpool(folder, sink.store, options);
    const promised = [...acknowledged];
    await send(spool);
    await flushed(spool);
    await spool.close(1_000);
    assert.equal(acknowledged.size, REQUESTS);
    assert.ok(promised.length <= REQUESTS);
    for (const id of ids) {
      assert.equal(sink.rows.get(`otel_traces ${id}`), 1, `seed ${seed} otel_traces ${id}`);
      const expected = refused.has(id) ? undefined : 1;
      assert.equal(sink.rows.get(`otel_logs ${id}`), expected, `seed ${seed} otel_logs ${id}`);
    }
    assert.deepEqual(sink.early, [], `seed ${seed}: rows before their content`);
    atOnceMax = Math.max(atOnceMax, sink.atOnceMax);
    rmSync(folder, { recursive: true });
  }
  assert.equal(atOnceMax, FLIGHTS_MAX);
});

test('what a batch refers to is stored before it, though an earlier batch brought it', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const sink = new UnorderedStore(seededRandom(seed));
    sink.loses = 0.4;
    const spool = await openTestSpool(newFolder(), sink.store, { deliver: sink.deliver });
    const requests = Array.from({ length: 12 }, (_, i) => {
      const [, ...rows] = wideRequest(`later-${i}`);
      return [wideRequest(`r-${i}`), rows];
    }).flat();
    await Promise.all(requests.map((chunks, i) => spool.append(digestOf(`${seed} ${i}`), chunks)));
    await flushed(spool);
    await spool.close(1_000);
    assert.deepEqual(sink.early, [], `seed ${seed}`);
    assert.equal(sink.rows.size, 48);
  }
});

test('no byte of a batch is sent before its bounds are on disk', async () => {
  const folder = newFolder();
  const store = new MemoryStore();
  const unwritten: string[] = [];
  const spool = await openTestSpool(folder, store, {
    deliver: async (insert) => {
      const cursor = readFileSync(join(folder, 'cursor')).toString('latin1');
      const [, segment, from, to] = insert.token.split('-');
      if (!cursor.includes(`"segment":${segment},"from":${from},"to":${to}`)) unwritten.push(insert.token);
      return await store.deliver(insert);
    },
  });
  for (let i = 0; i < 20; i++) await spool.append(digestOf(`${i}`), wideRequest(`r-${i}`));
  await flushed(spool);
  await spool.close(1_000);
  assert.equal(store.counts.size, 20);
  assert.deepEqual(unwritten, []);
});

test('segments of another release are set aside and counted, and what comes next is taken', async () => {
  const folder = newFolder();
  const away = new MemoryStore();
  away.mood = () => 'away';
  let spool = await openTestSpool(folder, away);
  for (let i = 0; i < 5; i++) await spool.append(digestOf(`${i}`), requestOf(`r-${i}`));
  await spool.close(0);
  const name = readdirSync(folder).find((f) => f.endsWith('.seg'))!;
  const bytes = readFileSync(join(folder, name));
  bytes.writeUInt32LE(0, 40);
  bytes.writeUInt32LE(crc32(bytes.subarray(8, 64)), 4);
  writeFileSync(join(folder, name), bytes);
  const store = new MemoryStore();
  spool = await openTestSpool(folder, store);
  assert.equal(spool.figures().setAside['unknown_version'], 1);
  assert.equal((await spool.append(digestOf('new'), requestOf('new'))).kind, 'kept');
  await flushed(spool);
  await spool.close(1_000);
  assert.deepEqual([...store.counts.keys()], ['new/0']);
  assert.deepEqual(readFileSync(join(folder, 'rejected', `${name}.unknown_version`)), bytes);
});

test('with its oldest request waiting for too long the spool takes no more, and says for how long', async () => {
  const store = new MemoryStore();
  store.mood = () => 'away';
  const spool = await openTestSpool(newFolder(), store, { ageMsMax: 1 });
  await spool.append(digestOf('a'), requestOf('a'));
  let message = '';
  let n = 0;
  await until('it refuses', async () => {
    const outcome = await spool.append(digestOf(`${n++}`), requestOf('b'));
    if (outcome.kind === 'full') message = outcome.message;
    return outcome.kind === 'full';
  });
  assert.match(message, /has waited \d+\.\d h for ClickHouse, .* \(age_max_h\)/);
  store.mood = () => 'well';
  await flushed(spool);
  await spool.close(1_000);
});
