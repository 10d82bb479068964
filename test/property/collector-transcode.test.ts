import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Admission, admit } from '../../collector/admit/admit.ts';
import { decode } from '../../collector/decode/decode.ts';
import { SpanBlock } from '../../collector/transcode/span-block.ts';
import { Transcoder } from '../../collector/transcode/transcode.ts';
import { seededRandom } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import type { Chunk } from '../../src/span/batch.ts';
import type { Span } from '../../src/span/span.ts';
import { readBlock } from '../support/native-block.ts';
import { encodeRequest } from '../support/otlp-proto.ts';
import { shuffled, traceRequest } from '../support/otlp-random.ts';
import { field, pair, Traffic } from '../support/otlp-traffic.ts';

/**
 * One transcoder for thousands of requests, as in a collector: whatever it keeps from one span, block or request to the
 * next must not show. What is expected is made anew for each request, from objects and without a transcoder; the
 * blocks are read by a reader of their own. LOOPSCOPE_LONG=1 takes fifty times as long; LOOPSCOPE_FUZZ_SEED plays a
 * failure again.
 */
const LONG = process.env['LOOPSCOPE_LONG'] === '1';
const REQUESTS = LONG ? 50_000 : 1_000;
const SEED = Number(process.env['LOOPSCOPE_FUZZ_SEED'] ?? 20_261_123);

const capture = () => 'full' as const;

interface Outcome {
  refused?: string;
  rows?: string[];
  rejected?: object;
  messages?: object;
}

function outcomeOf(work: () => Outcome): Outcome {
  try {
    return work();
  } catch (error) {
    if (error instanceof LoopscopeError) return { refused: error.code };
    throw error;
  }
}

const transcoded = (transcoder: Transcoder, body: Buffer): Outcome =>
  outcomeOf(() => {
    const admission = new Admission(capture, undefined);
    const rows = rowsOf(transcoder.transcode(body, admission));
    return { rows, rejected: { ...admission.rejected }, messages: admission.messages };
  });

const byObjects = (body: Buffer): Outcome =>
  outcomeOf(() => {
    const { spans, rejected, messages } = admit(decode(body, 'protobuf'), capture);
    return { rows: spans.map(expectedRow), rejected: { ...rejected }, messages };
  });

function rowsOf(chunks: readonly Chunk[]): string[] {
  return chunks.flatMap((chunk) => {
    const rows = readBlock(chunk.bytes);
    assert.equal(rows.length, chunk.rows);
    const days = new Set(rows.map((row) => Number(BigInt(row['Timestamp'] as string) / 86_400_000_000_000n)));
    assert.deepEqual(new Set(chunk.partitions), days);
    return rows.map((row) =>
      JSON.stringify([
        ...PLAIN.map((name) => row[name]),
        ...MAPS.map((name) => byKey(row[name] as Entry[])),
        ...LISTS_OF_MAPS.map((name) => (row[name] as Entry[][]).map(byKey)),
      ]),
    );
  });
}

type Entry = [key: string, value: string];
const byKey = (entries: Entry[]) => entries.sort(([a], [b]) => (a < b ? -1 : 1));
const PLAIN = [
  'Timestamp',
  'TraceId',
  'SpanId',
  'ParentSpanId',
  'TraceState',
  'SpanName',
  'SpanKind',
  'ServiceName',
  'ScopeName',
  'ScopeVersion',
  'Duration',
  'StatusCode',
  'StatusMessage',
  'Events.Timestamp',
  'Events.Name',
  'Links.TraceId',
  'Links.SpanId',
  'Links.TraceState',
];
const MAPS = ['ResourceAttributes', 'SpanAttributes'];
const LISTS_OF_MAPS = ['Events.Attributes', 'Links.Attributes'];

const expectedRow = (span: Span): string =>
  JSON.stringify([
    String(span.startNs),
    span.traceId,
    span.spanId,
    span.parentSpanId,
    span.traceState,
    span.name,
    span.kind,
    span.resource['service.name'] ?? '',
    span.scopeName,
    span.scopeVersion,
    String(span.endNs > span.startNs ? span.endNs - span.startNs : 0n),
    span.statusCode,
    span.statusMessage,
    span.events.map((event) => String(event.timeNs)),
    span.events.map((event) => event.name),
    span.links.map((link) => link.traceId),
    span.links.map((link) => link.spanId),
    span.links.map((link) => link.traceState),
    byKey(Object.entries(span.resource)),
    byKey(Object.entries(span.attributes)),
    span.events.map((event) => byKey(Object.entries(event.attributes))),
    span.links.map((link) => byKey(Object.entries(link.attributes))),
  ]);

test('whatever came before, a request becomes the rows it is', (t) => {
  const random = seededRandom(SEED);
  const traffic = new Traffic(random);
  const transcoder = new Transcoder();
  const pool = fc
    .sample(traceRequest, { numRuns: 300, seed: SEED })
    .map((request) => encodeRequest('traces', request));
  const counts: Record<string, number> = { rows: 0 };
  for (let n = 0; n < REQUESTS; n++) {
    const body =
      random() < 0.15
        ? shuffled(pool[traffic.below(pool.length)]!, random)
        : (rare(traffic, n) ?? traffic.next());
    const where = `seed ${SEED}, request ${n}, of ${body.length} bytes`;
    const got = transcoded(transcoder, body);
    const expected = byObjects(body);
    counts[got.refused ?? 'taken'] = (counts[got.refused ?? 'taken'] ?? 0) + 1;
    counts['rows']! += got.rows?.length ?? 0;
    for (const [i, row] of (expected.rows ?? []).entries())
      if (got.rows?.[i] !== row) assert.equal(got.rows?.[i], row, `${where}, row ${i}`);
    assert.deepEqual(got, expected, where);
  }
  t.diagnostic(JSON.stringify(counts));
  assert.ok(counts['taken']! > REQUESTS / 2 && counts['bad_input']! > REQUESTS / 50, JSON.stringify(counts));
});

/** Requests at the bounds of blocks and tables of names, a few of each. */
function rare(traffic: Traffic, n: number): Buffer | undefined {
  const names = (perSpan: number) => () =>
    traffic.span(Array.from({ length: perSpan }, () => traffic.attribute(traffic.freshName())));
  switch (n % 500) {
    case 100: // the places of a dictionary take two bytes
      return traffic.requestOf(3, names(100));
    case 200: // and four, and the table of names begins anew
      return traffic.requestOf(70, names(1_000));
    case 300:
      return Buffer.concat([1, 2, 3].map(() => traffic.requestOf(4_500, () => traffic.span([]))));
    case 400: // more days than one block may have
      return traffic.requestOf(130, (i) =>
        traffic.span([traffic.attribute('a')], BigInt((i * 7) % 120) * 86_400_000_000_000n),
      );
    default:
      return undefined;
  }
}

test('after the table of names began anew, a key that nobody can read brings back none of the old ones', () => {
  const traffic = new Traffic(seededRandom(SEED));
  const transcoder = new Transcoder();
  const many = () =>
    traffic.span(Array.from({ length: 1_000 }, () => traffic.attribute(traffic.freshName())));
  transcoded(transcoder, traffic.requestOf(51, many));
  const unread = field(9, pair(Buffer.from([0xff]), Buffer.alloc(0)));
  const spans = [
    traffic.span(['a', 'b'].map((key) => traffic.attribute(key))),
    traffic.span([unread, unread, unread, unread, traffic.attribute('c')]),
  ];
  const body = traffic.requestOf(2, (i) => spans[i]!);
  assert.deepEqual(transcoded(transcoder, body), byObjects(body));
});

for (const names of [255, 256, 257, 65_535, 65_536, 65_537])
  test(`${names} names in one block`, () => {
    const traffic = new Traffic(seededRandom(SEED));
    const spans = Array.from({ length: Math.ceil(names / 1_000) }, (_, i) =>
      traffic.span(
        Array.from({ length: Math.min(1_000, names - 1_000 * i) }, () =>
          traffic.attribute(traffic.freshName()),
        ),
      ),
    );
    const body = traffic.requestOf(spans.length, (i) => spans[i]!);
    assert.deepEqual(transcoded(new Transcoder(), body), byObjects(body));
  });

test('rows that are taken back leave no names, though no block is finished', () => {
  const block = new SpanBlock();
  const before = block.names.count;
  for (let i = 0; i < 60_000; i++) {
    block.begin();
    block.attributes.key(block.names.ofText(`name ${i}`), 0);
    block.cancel();
  }
  assert.equal(block.finish(), undefined);
  assert.equal(block.names.count, before);
  block.attributes.key(block.names.ofText('a'), 0);
  assert.equal(block.attributes.keys.nameAt(0), before);
});

/** Spans that have nothing of their own, and share these. */
function sharing(count: number, resource: Buffer, scope: Buffer): Buffer {
  const traffic = new Traffic(seededRandom(SEED));
  const spans = Array.from({ length: count }, () => field(2, traffic.span([])));
  return field(1, Buffer.concat([field(1, resource), field(2, Buffer.concat([field(1, scope), ...spans]))]));
}

const LONG_TEXT = Buffer.alloc(100_000, 'x');
const shared: Record<string, [resource: Buffer, scope: Buffer]> = {
  resource: [field(1, pair('k', field(1, LONG_TEXT))), Buffer.alloc(0)],
  scope: [Buffer.alloc(0), field(1, LONG_TEXT)],
  'version of a scope': [Buffer.alloc(0), field(2, LONG_TEXT)],
};
for (const [what, [resource, scope]] of Object.entries(shared))
  test(`a long ${what} is in every row: blocks stay small, and rows without end are refused`, () => {
    const transcoder = new Transcoder();
    const chunks = transcoder.transcode(sharing(500, resource, scope), new Admission(capture, undefined));
    assert.equal(
      chunks.reduce((sum, chunk) => sum + chunk.rows, 0),
      500,
    );
    for (const chunk of chunks) assert.ok(chunk.bytes.length < 9_000_000, `${chunk.bytes.length} bytes`);
    assert.deepEqual(transcoded(transcoder, sharing(3_000, resource, scope)), { refused: 'body_too_large' });
    const small = sharing(2, Buffer.alloc(0), Buffer.alloc(0));
    assert.deepEqual(transcoded(transcoder, small), byObjects(small));
  });
