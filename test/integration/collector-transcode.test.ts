import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { Admission, admit } from '../../collector/admit/admit.ts';
import { decode } from '../../collector/decode/decode.ts';
import { Traces } from '../../collector/traces.ts';
import { Transcoder } from '../../collector/transcode/transcode.ts';
import { seededRandom, systemClock } from '../../src/clock.ts';
import { A } from '../../src/span/attributes.ts';
import type { Chunk } from '../../src/span/batch.ts';
import { LIMITS } from '../../src/span/limits.ts';
import * as foreign from '../support/foreign-spans.ts';
import { decodeRequest, encodeRequest } from '../support/otlp-proto.ts';
import { shuffled, traceRequest } from '../support/otlp-random.ts';
import { startTestStore } from '../support/store.ts';

/**
 * Blocks as a real ClickHouse reads them. What is expected comes from protobufjs, which knows nothing of our decoder,
 * or, where a span takes the longer way, from that way taken for all spans.
 */
let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  clickhouse = await startTestStore();
});
after(() => clickhouse?.close());

const capture = () => 'full' as const;
const transcoder = new Transcoder();
const direct = (body: Buffer, admission = new Admission(capture, undefined)) =>
  transcoder.transcode(body, admission);
const byObjects = (body: Buffer) => transcoder.append(admit(decode(body, 'protobuf'), capture).spans);

interface Row extends Record<string, unknown> {
  TraceId: string;
  SpanId: string;
}

/** Inserts chunks into a table that keeps rows in order, and gives what ClickHouse made of them. */
async function stored(chunks: readonly Chunk[]): Promise<Row[]> {
  const { store } = clickhouse;
  await store.command('DROP TABLE IF EXISTS loopscope.rows');
  await store.command(
    `CREATE TABLE loopscope.rows ENGINE = Memory AS SELECT * FROM loopscope.otel_traces LIMIT 0`,
  );
  if (chunks.length > 0)
    await store.insertRaw(
      'rows' as 'otel_traces',
      'Native',
      chunks.map((c) => c.bytes),
      `t-${Math.random()}`,
    );
  const rows = await store.query<Row>(
    `SELECT * REPLACE (toString(toUnixTimestamp64Nano(Timestamp)) AS Timestamp, toString(Duration) AS Duration,
       arrayMap(t -> toString(toUnixTimestamp64Nano(t)), Events.Timestamp) AS \`Events.Timestamp\`,
       CAST(SpanAttributes, 'Array(Tuple(String, String))') AS SpanAttributes,
       CAST(ResourceAttributes, 'Array(Tuple(String, String))') AS ResourceAttributes,
       arrayMap(m -> CAST(m, 'Array(Tuple(String, String))'), Events.Attributes) AS \`Events.Attributes\`,
       arrayMap(m -> CAST(m, 'Array(Tuple(String, String))'), Links.Attributes) AS \`Links.Attributes\`)
     FROM loopscope.rows SETTINGS max_threads = 1`,
  );
  const byKey = (map: string[][]) => map.sort(([a], [b]) => (a! < b! ? -1 : 1));
  for (const row of rows) {
    for (const name of ['ResourceAttributes', 'SpanAttributes']) byKey(row[name] as string[][]);
    for (const name of ['Events.Attributes', 'Links.Attributes']) (row[name] as string[][][]).forEach(byKey);
  }
  return rows;
}

test('random requests become the rows that an independent decoder says', async () => {
  const requests = fc.sample(traceRequest, { numRuns: 600, seed: 7 });
  const random = seededRandom(7);
  const bodies = requests.map((request) => shuffled(encodeRequest('traces', request), random));
  const admission = new Admission(capture, undefined);
  const chunks = bodies.flatMap((body) => direct(body, admission));
  const expected = bodies.flatMap((body) =>
    expectedRows(decodeRequest('traces', body) as unknown as Request),
  );
  const rows = await stored(chunks);
  assert.ok(rows.length > 400, `${rows.length} rows are few`);
  assert.equal(
    rows.length,
    chunks.reduce((sum, c) => sum + c.rows, 0),
  );
  assert.ok(Object.keys(admission.rejected).length >= 4, JSON.stringify(admission.rejected));
  for (const [i, row] of rows.entries()) assert.deepEqual(row, expected[i]);
  assert.equal(rows.length, expected.length);
});

test('int64 at its limits, and doubles of every kind, are text as JSON has them', async () => {
  const values = [
    { intValue: 2n ** 63n - 1n },
    { intValue: -(2n ** 63n) },
    { intValue: 2n ** 53n },
    { intValue: -1n },
    { intValue: 0n },
    { doubleValue: Number.NaN },
    { doubleValue: Number.NEGATIVE_INFINITY },
    { doubleValue: 0.1 },
    { doubleValue: 3 },
  ];
  const [row] = await stored(
    direct(requestOf({ attributes: values.map((value, i) => ({ key: `k${i}`, value })) })),
  );
  assert.deepEqual(
    (row!['SpanAttributes'] as string[][]).map(([, text]) => text),
    [
      '9223372036854775807',
      '-9223372036854775808',
      '9007199254740992',
      '-1',
      '0',
      'NaN',
      '-Infinity',
      '0.1',
      '3',
    ],
  );
});

const ours = [A.loop, A.runId, A.record].map((key) => ({ key, value: { stringValue: 'call' } }));
const many = (n: number) => Array.from({ length: n }, (_, i) => ({ key: `k${i}`, value: { intValue: i } }));
const longer: Record<string, object[]> = {
  'an attribute named twice': [{ attributes: [...many(3), { key: 'k1', value: { boolValue: true } }] }],
  'prompts and answers': [{ attributes: [...ours, { key: A.inputText, value: { stringValue: 'What?' } }] }],
  'a name past its limit': [{ attributes: [{ key: A.loop, value: { stringValue: 'é'.repeat(110) } }] }, {}],
  'a name too long to be kept': [
    { attributes: [{ key: A.loop, value: { stringValue: 'x'.repeat(201) } }] },
    {},
  ],
  'more attributes than are kept': [
    { attributes: many(LIMITS.attributesPerSpanMax + 1) },
    { attributes: many(2) },
  ],
  'more events and links than are kept': [
    {
      events: many(LIMITS.eventsPerSpanMax + 1).map(({ key }) => ({ name: key })),
      links: many(LIMITS.linksPerSpanMax + 1).map(() => ({ traceId: Buffer.alloc(16, 1) })),
    },
  ],
  'an event past the year 2262': [{ events: [{ name: 'late', timeUnixNano: 2n ** 64n - 1n }] }],
  'a span name that is cut': [{ name: 'é'.repeat(3_000) }],
  'a value that is cut': [
    { attributes: [{ key: 'k', value: { stringValue: 'x'.repeat(LIMITS.attributeValueBytesMax + 1) } }] },
  ],
  ...Object.fromEntries(
    Object.entries(foreign).map(([name, spans]) => [
      `another convention: ${name}`,
      spans.map(({ attributes }) => ({
        attributes: Object.entries(attributes).map(([key, value]) => ({ key, value: anyValue(value) })),
      })),
    ]),
  ),
};
for (const [what, spans] of Object.entries(longer)) {
  test(`between plain spans, ${what}: the same row as by way of objects`, async () => {
    const body = requestOf({ attributes: many(2) }, ...spans, { events: [{ name: 'plain' }] });
    assert.deepEqual(sorted(await stored(direct(body))), sorted(await stored(byObjects(body))));
  });
}

test('texts that are not UTF-8 are mended, wherever they are', async () => {
  const marks = ['name-', 'state-', 'key-', 'value-', 'event-', 'message-', 'scope-', 'long-'.repeat(30)];
  const [name, traceState, key, stringValue, event, message, scope, long] = marks;
  const span = {
    name,
    traceState,
    status: { message },
    attributes: [
      { key, value: { stringValue } },
      { key: 'long', value: { stringValue: long } },
    ],
    events: [{ name: event }],
  };
  for (const mark of marks) {
    const body = requestOf({ scope }, span);
    body[body.indexOf(mark) + mark.length - 1] = 0xff;
    const rows = await stored(direct(body));
    assert.deepEqual(rows, await stored(byObjects(body)), mark);
    assert.match(JSON.stringify(rows), /\ufffd/, mark);
  }
});

test('a request that is too much for one insert becomes several, by rows, bytes and days', async () => {
  const times = (i: number) => ({
    startTimeUnixNano: 1_600_000_000_000_000_000n + BigInt(i) * 86_400_000_000_000n,
  });
  const rows = requestOf(...Array.from({ length: 25_000 }, () => ({})));
  const bytes = requestOf(
    ...Array.from({ length: 30 }, () => ({
      attributes: [{ key: 'k', value: { stringValue: 'x'.repeat(1_000_000) } }],
    })),
  );
  const days = requestOf(...Array.from({ length: 120 }, (_, i) => times((i * 7) % 120)));
  const shape = (body: Buffer) => direct(body).map((chunk) => [chunk.rows, chunk.partitions.length]);
  assert.deepEqual(shape(rows), [
    [10_000, 1],
    [10_000, 1],
    [5_000, 1],
  ]);
  assert.deepEqual(
    shape(bytes).map(([n]) => n),
    [7, 7, 7, 7, 2],
  );
  assert.deepEqual(shape(days), [
    [50, 50],
    [50, 50],
    [20, 20],
  ]);
  assert.equal((await stored(direct(days))).length, 120);
  assert.deepEqual(await stored(direct(days)), await stored(byObjects(days)));
});

test('after a body that is refused half-way the next one is as if it had not been', () => {
  const body = requestOf({ attributes: many(5), events: [{ name: 'e' }] }, {});
  const whole = direct(body);
  for (let size = 1; size < body.length; size += 3)
    try {
      direct(body.subarray(0, size));
    } catch {}
  assert.deepEqual(direct(body), whole);
});

test('names without end do not stay in memory, and each is what it was', async () => {
  for (let round = 0; round < 4; round++) {
    const spans = Array.from({ length: 300 }, (_, i) => ({
      attributes: Array.from({ length: 60 }, (_, k) => ({
        key: `${round}-${i}-${k}`,
        value: { intValue: k },
      })),
    }));
    const rows = await stored(direct(requestOf(...spans)));
    const keys = rows.flatMap((row) => (row['SpanAttributes'] as string[][]).map(([key]) => key));
    assert.equal(new Set(keys).size, 300 * 60);
    assert.ok(keys.every((key) => key!.startsWith(`${round}-`)));
  }
});

test('half a character in what was said is mended, and keeps no other message from being stored', async () => {
  const said = JSON.stringify([
    { role: 'user', parts: [{ type: 'text', content: 'sound' }] },
    { role: 'user\ud800', parts: [{ type: 'text', content: 'half' }] },
  ]);
  const output = JSON.stringify([
    { role: 'assistant', parts: [{ type: 'text', content: 'an answer \ud83d' }] },
  ]);
  const texts = { [A.operation]: 'chat', [A.loop]: 'l', [A.inputMessages]: said, [A.outputMessages]: output };
  const attributes = Object.entries(texts).map(([key, stringValue]) => ({ key, value: { stringValue } }));
  const { store } = clickhouse;
  const traces = new Traces({ clock: systemClock(), capture, findLoop: undefined });
  const { chunks } = traces.prepare(requestOf({ attributes }), 'protobuf');
  const messages = chunks.filter(({ table }) => table === 'messages');
  await store.insertRaw(
    'messages',
    'JSONEachRow',
    messages.map((c) => c.bytes),
    'half a character',
  );
  const rows = await store.query<{ role: string; content: string }>(
    'SELECT role, content FROM loopscope.messages',
  );
  assert.deepEqual(
    rows
      .map(({ role }) => role)
      .toSorted()
      .slice(-2),
    ['user', 'user\ufffd'],
  );
  assert.ok(
    rows.some(({ content }) => content === 'an answer \ufffd'),
    JSON.stringify(rows),
  );
});

let spanIds = 0;

/** A request of spans with ids, each of them new; a first one that is `{ scope }` names the scope. */
function requestOf(...spans: object[]): Buffer {
  const [first] = spans as { scope?: string }[];
  const scope = { name: first?.scope ?? 'scope' };
  return encodeRequest('traces', {
    resourceSpans: [
      {
        resource: { attributes: [{ key: 'service.name', value: { stringValue: 'a service' } }] },
        scopeSpans: [
          {
            scope,
            spans: (first?.scope === undefined ? spans : spans.slice(1)).map((span) => {
              const spanId = Buffer.alloc(8);
              spanId.writeUInt32BE(++spanIds, 4);
              return {
                traceId: Buffer.alloc(16, 7),
                spanId,
                startTimeUnixNano: 1_700_000_000_000_000_000n,
                ...span,
              };
            }),
          },
        ],
      },
    ],
  });
}

function anyValue(value: unknown): object {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'number')
    return Number.isInteger(value) ? { intValue: value } : { doubleValue: value };
  return { arrayValue: { values: (value as unknown[]).map(anyValue) } };
}

/** By span: the longer way may end a block where the other does not. */
const sorted = (rows: Row[]) => rows.sort((a, b) => (a.SpanId < b.SpanId ? -1 : 1));

// What protobufjs decodes, absent fields absent.
type Value = {
  stringValue?: string;
  boolValue?: boolean;
  intValue?: string;
  doubleValue?: number;
  arrayValue?: { values?: Value[] };
  kvlistValue?: { values?: KeyValue[] };
  bytesValue?: Buffer;
};
type KeyValue = { key?: string; value?: Value };
interface Timed {
  timeUnixNano?: string;
  name?: string;
  attributes?: KeyValue[];
}
interface SpanMessage {
  traceId?: Buffer;
  spanId?: Buffer;
  parentSpanId?: Buffer;
  traceState?: string;
  name?: string;
  kind?: number;
  startTimeUnixNano?: string;
  endTimeUnixNano?: string;
  attributes?: KeyValue[];
  events?: Timed[];
  links?: { traceId?: Buffer; spanId?: Buffer; traceState?: string; attributes?: KeyValue[] }[];
  status?: { code?: number; message?: string };
}
interface Request {
  resourceSpans?: {
    resource?: { attributes?: KeyValue[] };
    scopeSpans?: { scope?: { name?: string; version?: string }; spans?: SpanMessage[] }[];
  }[];
}

const TIME_MAX = 2n ** 63n - 1n;
const hex = (id?: Buffer) => (id ?? Buffer.alloc(0)).toString('hex');
const isId = (id: string, digits: number) => id.length === digits && /[^0]/.test(id);

function expectedRows({ resourceSpans = [] }: Request): Row[] {
  return resourceSpans.flatMap(({ resource, scopeSpans = [] }) =>
    scopeSpans.flatMap(({ scope, spans = [] }) =>
      spans.flatMap((span): Row[] => {
        const [traceId, spanId, parent] = [hex(span.traceId), hex(span.spanId), hex(span.parentSpanId)];
        const start = BigInt(span.startTimeUnixNano ?? 0);
        const end = BigInt(span.endTimeUnixNano ?? 0);
        if (!isId(traceId, 32) || !isId(spanId, 16) || ![0, 16].includes(parent.length)) return [];
        if (start > TIME_MAX || end > TIME_MAX) return [];
        const { events = [], links = [] } = span;
        const eventTime = ({ timeUnixNano = '0' }: Timed) =>
          BigInt(timeUnixNano) > TIME_MAX ? String(TIME_MAX) : timeUnixNano;
        return [
          {
            Timestamp: String(start),
            TraceId: traceId,
            SpanId: spanId,
            ParentSpanId: isId(parent, 16) ? parent : '',
            TraceState: span.traceState ?? '',
            SpanName: span.name ?? '',
            SpanKind:
              ['Unspecified', 'Internal', 'Server', 'Client', 'Producer', 'Consumer'][span.kind ?? 0] ??
              'Unspecified',
            ServiceName: '',
            ResourceAttributes: entries(resource?.attributes),
            ScopeName: scope?.name ?? '',
            ScopeVersion: scope?.version ?? '',
            SpanAttributes: entries(span.attributes),
            Duration: String(end > start ? end - start : 0n),
            StatusCode: ['Unset', 'Ok', 'Error'][span.status?.code ?? 0] ?? 'Unset',
            StatusMessage: span.status?.message ?? '',
            'Events.Timestamp': events.map(eventTime),
            'Events.Name': events.map(({ name }) => name ?? ''),
            'Events.Attributes': events.map((event) => entries(event.attributes)),
            'Links.TraceId': links.map((link) => hex(link.traceId)),
            'Links.SpanId': links.map((link) => hex(link.spanId)),
            'Links.TraceState': links.map((link) => link.traceState ?? ''),
            'Links.Attributes': links.map((link) => entries(link.attributes)),
          },
        ];
      }),
    ),
  );
}

/** Of a name that comes again the last value, each name once. */
function entries(attributes: readonly KeyValue[] = []): string[][] {
  const map = new Map(attributes.map(({ key = '', value = {} }) => [key, textOf(value)]));
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

function textOf(value: Value): string {
  if (value.stringValue !== undefined) return value.stringValue;
  if (value.bytesValue !== undefined) return value.bytesValue.toString('base64');
  if (value.doubleValue !== undefined) return String(value.doubleValue);
  return Object.keys(value).length === 0 ? '' : jsonOf(value);
}

function jsonOf(value: Value): string {
  if (value.stringValue !== undefined) return JSON.stringify(value.stringValue);
  if (value.boolValue !== undefined) return String(value.boolValue);
  if (value.intValue !== undefined) return value.intValue;
  if (value.doubleValue !== undefined)
    return Number.isFinite(value.doubleValue) ? String(value.doubleValue) : `"${value.doubleValue}"`;
  if (value.bytesValue !== undefined) return `"${value.bytesValue.toString('base64')}"`;
  if (value.arrayValue !== undefined) return `[${(value.arrayValue.values ?? []).map(jsonOf).join(',')}]`;
  if (value.kvlistValue === undefined) return 'null';
  const fields = (value.kvlistValue.values ?? []).map(
    ({ key = '', value: of = {} }) => `${JSON.stringify(key)}:${jsonOf(of)}`,
  );
  return `{${fields.join(',')}}`;
}
