import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Collector } from '../../collector/collector.ts';
import { contentHash } from '../../src/records/normalize.ts';
import { A } from '../../src/span/attributes.ts';
import { startTestCollector } from '../support/collector.ts';
import { conventions, type Told } from '../support/content-conventions.ts';
import { encodeRequest } from '../support/otlp-proto.ts';
import { startTestStore } from '../support/store.ts';

let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
let collector: Collector;

before(async () => {
  clickhouse = await startTestStore();
  collector = await startTestCollector({
    store: clickhouse.store,
    capture: (loop) => (loop.startsWith('off') ? 'off' : loop.startsWith('hashed') ? 'hashed' : 'full'),
  });
});
after(async () => {
  await collector?.close();
  await clickhouse?.close();
});

const keyValues = (attributes: Record<string, string>) =>
  Object.entries(attributes).map(([key, stringValue]) => ({ key, value: { stringValue } }));
const resourceOf = (service: string) => ({
  attributes: keyValues(service ? { 'service.name': service } : {}),
});

let ids = 0;
const newId = (bytes: number): Buffer => {
  const id = Buffer.alloc(bytes);
  id.writeUInt32BE(++ids, bytes - 4);
  return id;
};
const NOW = BigInt(Date.now()) * 1_000_000n;

async function post(signal: 'traces' | 'logs', message: object): Promise<void> {
  const answer = await fetch(`${collector.url}/v1/${signal}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf' },
    body: new Uint8Array(encodeRequest(signal, message)),
  });
  assert.equal(answer.status, 200, await answer.text());
}

const sendSpans = (service: string, spans: readonly Told[]): Promise<void> =>
  post('traces', {
    resourceSpans: [
      {
        resource: resourceOf(service),
        scopeSpans: [
          {
            spans: spans.map(({ name, attributes, events }) => ({
              traceId: newId(16),
              spanId: newId(8),
              name,
              startTimeUnixNano: NOW,
              endTimeUnixNano: NOW + 1n,
              attributes: keyValues(attributes),
              events: events.map((e) => ({
                name: e.name,
                timeUnixNano: NOW,
                attributes: keyValues(e.attributes),
              })),
            })),
          },
        ],
      },
    ],
  });

/** What spans say may come as log records too: the attributes, and each event as a record, and once in its body. */
const sendLogs = (service: string, all: readonly Told[]): Promise<void> =>
  post('logs', {
    resourceLogs: [
      {
        resource: resourceOf(service),
        scopeLogs: [
          {
            logRecords: all
              .flatMap(({ attributes, events }) => [
                { eventName: 'gen_ai.something', attributes: keyValues(attributes) },
                ...events.filter(isLogged).flatMap((e) => [
                  { eventName: e.name, attributes: keyValues(e.attributes) },
                  { eventName: e.name, body: { stringValue: JSON.stringify(e.attributes) } },
                ]),
              ])
              .map((record) => ({ timeUnixNano: NOW, ...record })),
          },
        ],
      },
    ],
  });

/** Claude Code has its tools' output in no log record. */
const isLogged = (event: { name: string }) => event.name.startsWith('gen_ai.');

/** Every column of every row of these tables, as text. */
async function everything(...tables: string[]): Promise<string> {
  await collector.flush();
  const rows = await Promise.all(
    tables.map((table) => clickhouse.store.query(`SELECT * FROM loopscope.${table}`)),
  );
  return JSON.stringify(rows);
}

/** The hashes on a service's spans, in whatever attribute or event: the ids here begin with zeros. */
async function hashesOf(service: string): Promise<Set<string>> {
  await collector.flush();
  const rows = await clickhouse.store.query<{ values: string[] }>(
    `SELECT arrayConcat(mapValues(SpanAttributes), arrayFlatten(arrayMap(m -> mapValues(m), Events.Attributes))) AS values
     FROM loopscope.otel_traces WHERE ServiceName = {service:String}`,
    { service },
  );
  return new Set(rows.flatMap(({ values }) => values.join().match(/\b(?!0{16})[0-9a-f]{32}\b/g) ?? []));
}

const RESENT = 100;
/** As a message by itself, as an object in a whole request, and as an answer: by itself, in plain text and in its own. */
const FORMS_MAX = 5;

for (const [i, { name, call }] of conventions.filter(({ resends }) => resends).entries())
  test(`a history that grows is stored once, though it is resent a hundred times: ${name}`, async () => {
    const service = `full-${i}`;
    const turns = Array.from({ length: 2 * RESENT }, (_, turn) => `full ${i} turn ${turn}.`);
    for (let n = 2; n <= turns.length; n += 2) await sendSpans(service, [call(turns.slice(0, n))]);

    await collector.flush();
    const rows = await clickhouse.store.query<{ hash: string; content: string }>(
      'SELECT hash, content FROM loopscope.messages WHERE position(content, {mark:String}) > 0',
      { mark: `full ${i} turn` },
    );
    assert.equal(new Set(rows.map((r) => r.hash)).size, rows.length, 'no message is there twice');
    for (const { hash, content } of rows) assert.equal(hash, contentHash(content));
    for (const turn of turns.slice(1)) {
      const copies = rows.filter(({ content }) => content.includes(turn)).length;
      assert.ok(copies >= 1 && copies <= FORMS_MAX, `${turn} is in ${copies} messages`);
    }
    const chars = rows.reduce((sum, { content }) => sum + content.length, 0);
    assert.ok(chars < turns.length * FORMS_MAX * 100, `${chars} characters`);
    const onSpans = await hashesOf(service);
    assert.ok(rows.every(({ hash }) => onSpans.has(hash)));
    assert.ok(!(await everything('otel_traces')).includes(`full ${i} turn`));
  });

const SECRETS = ['SECRET one', 'SECRET two', 'SECRET three', 'SECRET four'];
const secret = (mark: string) =>
  conventions.map(({ call }) => call(SECRETS.map((text) => `${mark} ${text}`)));

test('of a loop that keeps nothing, no column of any table has a trace of what was said', async () => {
  const told = secret('OFF');
  const hashes = SECRETS.map((text) => contentHash(`OFF ${text}`));
  await sendSpans('off-spans', told);
  await sendLogs('off-logs', told);
  const all = await everything('otel_traces', 'otel_logs', 'messages');
  assert.ok(all.includes('off-spans') && all.includes('off-logs'));
  for (const trace of ['OFF SECRET', ...hashes]) assert.ok(!all.includes(trace), trace);
  assert.deepEqual(await hashesOf('off-spans'), new Set());
});

test('nor of spans and records that belong to no loop', async () => {
  await sendSpans('', secret('NOBODY'));
  await sendLogs('unknown_service:java', secret('NOBODY'));
  assert.ok(!(await everything('otel_traces', 'otel_logs', 'messages')).includes('NOBODY SECRET'));
});

test('of a loop that keeps hashes, the hashes of what was said are there and no text', async () => {
  const told = secret('HASHED');
  await sendSpans('hashed-spans', told);
  await sendLogs('hashed-logs', told);
  const all = await everything('otel_traces', 'otel_logs', 'messages');
  assert.ok(!all.includes('HASHED SECRET'));
  assert.ok((await hashesOf('hashed-spans')).has(contentHash('HASHED SECRET four')));
  assert.ok(all.includes(contentHash('{"command":"HASHED SECRET one"}')));
});

test('of a loop that keeps all, what log records say is in the messages alone, and found by its hash', async () => {
  await sendLogs('full-logs', secret('ALL'));
  const logs = await everything('otel_logs');
  assert.ok(!logs.includes('ALL SECRET'));
  const messages = await clickhouse.store.query<{ hash: string; content: string }>(
    `SELECT hash, content FROM loopscope.messages WHERE position(content, 'ALL SECRET') > 0`,
  );
  for (const text of SECRETS)
    assert.ok(
      messages.some(({ content }) => content.includes(text)),
      text,
    );
  for (const { hash, content } of messages) assert.ok(logs.includes(hash), content);
});

test('content is found on spans that would go the fast way: by its name alone, or by that of its event', async () => {
  const text = 'FAST SECRET';
  const ours = { [A.record]: 'call', [A.loop]: 'off-ours', [A.runId]: 'r' };
  const plain = { 'http.route': '/' };
  await sendSpans('off-fast', [
    { name: 'a', attributes: { ...ours, 'llm.input_messages.0.message.content': text }, events: [] },
    { name: 'b', attributes: ours, events: [{ name: 'gen_ai.user.message', attributes: { content: text } }] },
    { name: 'c', attributes: plain, events: [{ name: 'gen_ai.choice', attributes: { message: text } }] },
    { name: 'd', attributes: plain, events: [{ name: 'e', attributes: { 'gen_ai.prompt': text } }] },
    { name: 'e', attributes: { ...plain, 'gen_ai.completion.0.content': text }, events: [] },
    {
      name: 'claude_code.tool',
      attributes: plain,
      events: [{ name: 'tool.output', attributes: { output: text } }],
    },
  ]);
  const all = await everything('otel_traces', 'messages');
  assert.ok(all.includes('"http.route"') && !all.includes(text));
});

test('a loop that the span names keeps what that loop keeps, whatever its service', async () => {
  const [first] = secret('RESOURCE');
  await sendSpans('full-service', [
    { ...first!, attributes: { ...first!.attributes, [A.loop]: 'off-by-name' } },
  ]);
  assert.ok(!(await everything('otel_traces', 'messages')).includes('RESOURCE SECRET'));
});
