import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type NativeBlock, readNative } from '../../src/store/native.ts';
import { startTestStore } from '../support/store.ts';

/** What ClickHouse says in its `Native` format, held against what it says as JSON. */

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const EVERY_TYPE = `
  SELECT number::Float64 AS n,
         if(number % 3 = 0, NULL, number / 7)::Nullable(Float64) AS perhaps,
         (number % 2)::UInt8 AS odd,
         if(number % 5 = 0, '', concat('é🦔\\n"', toString(number), repeat('x', number % 300))) AS text,
         concat('w', toString(number % {words:UInt32}))::LowCardinality(String) AS word,
         mapFromArrays(arrayMap(i -> concat('k', toString((i + number) % 40)), range(number % 4)),
                       arrayMap(i -> concat('value ', toString(i * number)), range(number % 4)))
           ::Map(LowCardinality(String), String) AS said
  FROM numbers({rows:UInt32})`;

interface Row {
  n: number;
  perhaps: number | null;
  odd: number;
  text: string;
  word: string;
  said: Record<string, string>;
}

function rowsOf(block: NativeBlock): Row[] {
  const said = block.maps('said');
  return Array.from({ length: block.rows }, (_, i) => ({
    n: block.numbers('n').at(i),
    perhaps: block.numbers('perhaps').orNullAt(i),
    odd: block.numbers('odd').at(i),
    text: block.texts('text').at(i),
    word: block.texts('word').at(i),
    said: Object.fromEntries(
      Array.from({ length: said.from(i + 1) - said.from(i) }, (_, at) => [
        said.names.at(said.from(i) + at),
        said.values.at(said.from(i) + at),
      ]),
    ),
  }));
}

/** A result as bytes, as the server sends them. */
async function bytesOf(sql: string, params: Record<string, unknown>): Promise<Buffer> {
  const url = new URL(server.url);
  url.searchParams.set('query', `${sql} FORMAT Native`);
  for (const [name, value] of Object.entries(params)) url.searchParams.set(`param_${name}`, String(value));
  const response = await fetch(url);
  assert.equal(response.status, 200);
  return Buffer.from(await response.arrayBuffer());
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

// Words that fit in one byte, in two and in four; blocks of 65,409 rows, and more bytes than are looked through at once.
for (const [rows, words] of [
  [0, 1],
  [1, 1],
  [1_000, 200],
  [3_000, 300],
  [150_000, 70_000],
] as const)
  test(`${rows} rows, of ${words} words, are what JSON says`, async () => {
    const asked = { rows, words };
    const read: Row[] = [];
    for await (const block of server.store.blocks(EVERY_TYPE, asked)) read.push(...rowsOf(block));
    assert.deepEqual(read, await server.store.query<Row>(EVERY_TYPE, asked));
  });

test('in pieces of any size it is the same', async () => {
  const bytes = await bytesOf(EVERY_TYPE, { rows: 50, words: 7 });
  const whole: Row[] = [];
  for await (const block of readNative(inPieces(bytes, bytes.length))) whole.push(...rowsOf(block));
  assert.equal(whole.length, 50);
  for (const size of [1, 2, 7, 100, 1_000]) {
    const read: Row[] = [];
    for await (const block of readNative(inPieces(bytes, size))) read.push(...rowsOf(block));
    assert.deepEqual(read, whole);
  }
});

test('a result that breaks off, wherever it does, is no result', async () => {
  const bytes = await bytesOf(EVERY_TYPE, { rows: 5, words: 3 });
  for (let length = 1; length < bytes.length; length++)
    await assert.rejects(
      async () => {
        for await (const _ of readNative(inPieces(bytes.subarray(0, length), 64)));
      },
      { code: 'store_unavailable' },
      `${length} of ${bytes.length} bytes`,
    );
});

test('another type than those that are read is refused by name, and a column that is not there too', async () => {
  await assert.rejects(
    async () => {
      for await (const _ of server.store.blocks('SELECT toDate(0) AS day'));
    },
    { code: 'store_rejected', message: /type Date, / },
  );
  for await (const block of server.store.blocks("SELECT 'a' AS text")) {
    assert.equal(block.texts('text').bytesAt(0).toString(), 'a');
    assert.throws(() => block.numbers('text'), /"text" is Texts, not Numbers/);
    assert.throws(() => block.texts('other'), /"other" is undefined/);
  }
});

test("an error of the server's is told in its words", async () => {
  await assert.rejects(
    async () => {
      for await (const _ of server.store.blocks('SELECT throwIf(number = 100000) AS x FROM numbers(200000)'));
    },
    { code: /store_/ },
  );
});

test('in a column that says each text once a text has a number of its own', async () => {
  const texts = new Map<number, string>();
  for await (const block of server.store.blocks(EVERY_TYPE, { rows: 1_000, words: 300 })) {
    const words = block.texts('word');
    for (let i = 0; i < block.rows; i++) {
      const known = texts.get(words.which(i));
      assert.equal(known ?? words.at(i), words.at(i));
      texts.set(words.which(i), words.at(i));
    }
  }
  assert.equal(new Set(texts.values()).size, 300);
  assert.equal(texts.size, 300);
});
