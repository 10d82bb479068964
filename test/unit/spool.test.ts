import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/clock.ts';
import { TABLES } from '../../src/span/batch.ts';
import { BatchBounds, insertsOf } from '../../src/spool/batch.ts';
import {
  findRecords,
  type Payload,
  payloadOf,
  RECORD_HEADER_BYTES,
  saltOf,
  writeRecord,
} from '../../src/spool/record.ts';
import type { Find } from '../../src/spool/scan.ts';
import { decodeSegmentHeader, encodeSegmentHeader, SEGMENT_VERSION } from '../../src/spool/segment.ts';
import { digestOf, requestOf } from '../support/spool.ts';

const SALT = saltOf('0123456789abcdef');

function encode(sequence: number, payload: Payload, salt = SALT): Buffer {
  const bytes = Buffer.alloc(RECORD_HEADER_BYTES + payload.length);
  const record = { sequence, timeMs: 1_700_000_000_000, digest: digestOf(`${sequence}`) };
  assert.equal(writeRecord(bytes, 0, record, payload, salt), bytes.length);
  return bytes;
}

/** A log of `n` records of different sizes, and where each is. */
function logOf(n: number): { bytes: Buffer; places: [from: number, to: number][] } {
  const places: [number, number][] = [];
  const parts: Buffer[] = [];
  let at = 0;
  for (let i = 1; i <= n; i++) {
    const record = encode(i, payloadOf(requestOf(`r-${i}`, 1 + (i % 3), i % 40))!);
    parts.push(record);
    places.push([at, at + record.length]);
    at += record.length;
  }
  return { bytes: Buffer.concat(parts), places };
}

/** Every byte belongs to one find, in order. */
function findAll(bytes: Buffer) {
  const finds = [...findRecords(bytes, true, SALT)];
  let at = 0;
  for (const f of finds) {
    assert.equal(f.from, at);
    assert.ok(f.kind !== 'more' && f.to > f.from);
    at = f.to;
  }
  assert.equal(at, bytes.length);
  return finds;
}

test('records come back as they were written', () => {
  const { bytes, places } = logOf(30);
  const finds = findAll(bytes);
  assert.deepEqual(
    finds.map((f) => f.kind !== 'more' && [f.from, f.to]),
    places,
  );
  finds.forEach((f, i) => {
    assert.ok(f.kind === 'record');
    assert.deepEqual(f.record, {
      sequence: i + 1,
      timeMs: 1_700_000_000_000,
      digest: digestOf(`${i + 1}`),
      chunks: requestOf(`r-${i + 1}`, 1 + ((i + 1) % 3), (i + 1) % 40),
    });
  });
  const header = {
    number: 9_007_199_254_740_991,
    previous: 7,
    previousEnd: 9_007_199_254_740_990,
    spoolId: '0123456789abcdef',
  };
  assert.deepEqual(decodeSegmentHeader(encodeSegmentHeader(header)), { ...header, version: SEGMENT_VERSION });
});

test('a log cut at any byte of its last record gives all records before it, and is torn there', () => {
  const { bytes, places } = logOf(5);
  const [from, to] = places[4]!;
  for (let end = from; end < to; end++) {
    const finds = findAll(bytes.subarray(0, end));
    assert.deepEqual(
      finds.map((f) => f.kind),
      ['record', 'record', 'record', 'record', ...(end > from ? ['torn'] : [])],
      `cut at ${end - from}`,
    );
  }
});

test('a log with room behind its records is torn there, blank or with what was written of the next one', () => {
  const { bytes, places } = logOf(5);
  const [from, to] = places[4]!;
  for (let end = from; end < to - 20; end++) {
    const last = findAll(Buffer.concat([bytes.subarray(0, end), Buffer.alloc(9_000)])).at(-1);
    assert.ok(last?.kind === 'torn' && last.from === from && last.to === end + 9_000, `cut at ${end - from}`);
    assert.equal(last.isBlank, end === from);
  }
  for (const at of [from, from + 70, to - 30]) {
    const damaged = Buffer.concat([bytes, Buffer.alloc(9_000)]);
    damaged[at]! ^= 1;
    assert.equal(findAll(damaged).at(-1)!.kind, 'corrupt', `damaged at ${at - from}`);
  }
});

test('a window that ends in a record asks for as much as the record needs', () => {
  const { bytes, places } = logOf(5);
  for (let end = 1; end < bytes.length; end++) {
    const finds = [...findRecords(bytes.subarray(0, end), false, SALT)];
    const whole = places.filter(([, to]) => to <= end).length;
    assert.equal(finds.filter((f) => f.kind === 'record').length, whole);
    const last = finds.at(-1)!;
    if (places[whole]![0] === end) continue;
    assert.ok(last.kind === 'more' && last.from === places[whole]![0]);
    const [from, to] = places[whole]!;
    assert.equal(last.bytes, end - from < RECORD_HEADER_BYTES ? 1 : to - from);
  }
});

const CASES = 4_000;
test(`damage costs the records it touches and no other (${CASES} cases)`, () => {
  for (let seed = 1; seed <= CASES; seed++) {
    const random = seededRandom(seed);
    const int = (n: number) => Math.floor(random() * n);
    const { bytes, places } = logOf(3 + int(12));
    const damaged = Buffer.from(bytes);
    const touched = new Set<number>();
    const touch = (from: number, to: number) =>
      places.forEach((place, i) => {
        if (place[0] < to && from < place[1]) touched.add(i + 1);
      });
    for (let n = 1 + int(4); n > 0; n--) {
      const at = int(bytes.length);
      const length = [1, 1, 8, 512, 4096][int(5)]!;
      touch(at, at + length);
      if (length === 1) damaged[at]! ^= 1 << int(8);
      else if (int(2)) damaged.fill(0, at, Math.min(at + length, damaged.length));
      else for (let i = at; i < Math.min(at + length, damaged.length); i++) damaged[i] = int(256);
    }
    const found = findAll(damaged).flatMap((f) => (f.kind === 'record' ? [f.record.sequence] : []));
    const expected = places.map((_, i) => i + 1).filter((i) => !touched.has(i));
    // Two flips of one bit, or zeros over zeros, are no damage: more may be found, never less.
    assert.ok(
      expected.every((i) => found.includes(i)),
      `seed ${seed}: found ${found}, intact ${expected}`,
    );
    assert.equal(new Set(found).size, found.length, `seed ${seed}`);
  }
});

test('bytes that vanish or appear between records cost no record beside them', () => {
  for (let seed = 1; seed <= 1_000; seed++) {
    const random = seededRandom(seed);
    const { bytes, places } = logOf(8);
    const at = Math.floor(random() * bytes.length);
    const length = 1 + Math.floor(random() * 200);
    const gone = random() < 0.5;
    const changed = gone
      ? Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
      : Buffer.concat([bytes.subarray(0, at), Buffer.alloc(length, 0x55), bytes.subarray(at)]);
    const found = findAll(changed).flatMap((f) => (f.kind === 'record' ? [f.record.sequence] : []));
    const hit = ([from, to]: [number, number]) =>
      gone ? from < at + length && at < to : from < at && at < to;
    const expected = places.flatMap((p, i) => (hit(p) ? [] : [i + 1]));
    assert.deepEqual(found, expected, `seed ${seed}`);
  }
});

function batchLength(finds: ReturnType<typeof findAll>): number {
  const bounds = new BatchBounds();
  const end = finds.findIndex((f) => !bounds.take(f as Find));
  return end < 0 ? finds.length : end;
}

test('a batch is one insert a table within bounds, or one request alone, and the same every time', () => {
  const finds = (requests: ReturnType<typeof requestOf>[]) => [
    ...findRecords(Buffer.concat(requests.map((r, i) => encode(i + 1, payloadOf(r)!))), true, SALT),
  ];
  assert.equal(batchLength(finds(Array.from({ length: 20 }, (_, i) => requestOf(`${i}`)))), 20);
  assert.equal(batchLength(finds(Array.from({ length: 20 }, (_, i) => requestOf(`${i}`, 3_000)))), 16);
  const days = Array.from({ length: 20 }, (_, i) =>
    requestOf(`${i}`).map((c) => ({ ...c, partitions: [3 * i, 3 * i + 1, 3 * i + 2] })),
  );
  assert.equal(batchLength(finds(days)), 16);
  const large = [...requestOf('large'), ...requestOf('more')];
  assert.equal(batchLength(finds([requestOf('a'), large, requestOf('b')])), 1);
  assert.equal(batchLength(finds([large, requestOf('b')])), 1);

  const records = finds([large]).flatMap((f) => (f.kind === 'record' ? [f.record] : []));
  assert.deepEqual(
    insertsOf(records, 'p', TABLES).map((i) => i.token),
    [
      'p-messages-JSONEachRow-0',
      'p-messages-JSONEachRow-1',
      'p-otel_traces-JSONEachRow-0',
      'p-otel_traces-JSONEachRow-1',
    ],
  );
  const two = finds([requestOf('a'), requestOf('b', 2)]).flatMap((f) =>
    f.kind === 'record' ? [f.record] : [],
  );
  assert.deepEqual(
    insertsOf(two, 'p', TABLES).map(({ token, rows, bodies }) => [token, rows, bodies.length]),
    [
      ['p-messages-JSONEachRow-0', 2, 2],
      ['p-otel_traces-JSONEachRow-0', 3, 2],
    ],
  );
});

test('rows of one table in two formats are two inserts of one batch, whose tokens do not depend on what else is intact', () => {
  const native = requestOf('b').map((c) => ({ ...c, format: 'Native' as const }));
  const bytes = [requestOf('a'), native].map((r, i) => encode(i + 1, payloadOf(r)!));
  const finds = [...findRecords(Buffer.concat(bytes), true, SALT)];
  assert.equal(batchLength(finds), 2);
  const records = finds.flatMap((f) => (f.kind === 'record' ? [f.record] : []));
  const tokens = insertsOf(records, 'p', TABLES).map((i) => i.token);
  assert.deepEqual(tokens, [
    'p-messages-JSONEachRow-0',
    'p-messages-Native-0',
    'p-otel_traces-JSONEachRow-0',
    'p-otel_traces-Native-0',
  ]);
  assert.deepEqual(
    insertsOf(records.slice(1), 'p', TABLES).map((i) => i.token),
    [tokens[1], tokens[3]],
    'the first is damaged by now',
  );
  assert.deepEqual(
    insertsOf(records, 'p', TABLES, ['messages-Native', 'otel_traces-JSONEachRow']).map((i) => i.token),
    [tokens[0], tokens[3]],
    'some are stored',
  );
});

test('a record that somebody wrote into a payload is never taken for one', () => {
  const forged = payloadOf(requestOf('forged'))!;
  for (const salt of [saltOf('fedcba9876543210'), { header: 0, payload: 0 }]) {
    const inner = encode(2, forged, salt);
    const payload = payloadOf([
      { table: 'otel_traces', format: 'Native', rows: 1, partitions: [1], bytes: inner },
    ])!;
    const bytes = Buffer.concat([
      encode(1, payloadOf(requestOf('a'))!),
      encode(3, payload),
      encode(4, forged),
    ]);
    const at = bytes.indexOf(inner) - 200;
    const header = bytes.lastIndexOf(bytes.subarray(0, 4), at + 150);
    for (let byte = 0; byte < RECORD_HEADER_BYTES; byte++) {
      const damaged = Buffer.from(bytes);
      damaged[header + byte]! ^= 0x10;
      const sequences = findAll(damaged).flatMap((f) => (f.kind === 'record' ? [f.record.sequence] : []));
      assert.deepEqual(sequences, [1, 4], `byte ${byte}`);
    }
  }
});
