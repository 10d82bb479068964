import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import pino from 'pino';
import { deliverTo } from '../../collector/insert/deliver.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { type System, startSystem } from '../../src/system.ts';
import { inFolder } from '../support/cli.ts';
import { startLine } from '../support/line.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

/** A collector on its own that starts while ClickHouse is away. */
let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
let line: Awaited<ReturnType<typeof startLine>>;
before(async () => {
  clickhouse = await startTestStore();
  line = await startLine(Number(new URL(clickhouse.url).port));
});
after(async () => {
  await line?.close();
  await clickhouse?.close();
});

async function withCollector(work: (system: System) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    const path = join(folder, 'loopscope.yaml');
    writeFileSync(
      path,
      `data_dir: data\nclickhouse: { url: "${line.url}" }\ncollector: { port: 0, grpc_port: 0 }\n`,
    );
    const system = await startSystem({
      config: loadConfig(path, {}),
      roles: ['collector'],
      clock: systemClock(),
      log: pino({ level: 'silent' }),
    });
    try {
      await work(system);
    } finally {
      await system.close();
    }
  });
}

test('while the schema is not in place nothing is sent, which an older one might refuse as bad data', async () => {
  let why: string | undefined = 'not yet';
  const inserted: string[] = [];
  const deliver = deliverTo({
    store: clickhouse.store,
    clock: systemClock(),
    whyUnready: () => why,
    onInsert: (table) => inserted.push(table),
  });
  const row = JSON.stringify({ hash: 'h', role: 'user', content: 'hello', stored_at: '2026-01-01 00:00:00' });
  const insert = {
    table: 'messages',
    format: 'JSONEachRow',
    rows: 1,
    bodies: [Buffer.from(row)],
    token: 't',
  };
  assert.deepEqual(await deliver(insert), { kind: 'unavailable', message: 'not yet' });
  assert.deepEqual(inserted, []);
  why = undefined;
  assert.deepEqual(await deliver(insert), { kind: 'stored' });
  assert.deepEqual(inserted, ['messages']);
});

const traceId = 'c0'.repeat(16);

function send(url: string): Promise<Response> {
  const span = {
    traceId,
    spanId: 'c0'.repeat(8),
    name: 'early',
    startTimeUnixNano: String(Date.now() * 1e6),
  };
  return fetch(`${url}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }),
  });
}

test('it takes spans before it has ever seen ClickHouse, and stores them when the schema is in place', async () => {
  line.set('down');
  await clickhouse.store.command('DROP DATABASE loopscope');
  await withCollector(async ({ endpoints, settled }) => {
    assert.equal((await send(endpoints.collector!)).status, 200);
    await until('the reason', async () =>
      /does not answer/.test(await (await fetch(`${endpoints.collector}/readyz`)).text()),
    );
    line.set('up');
    await settled();
    const [row] = await clickhouse.store.query<{ n: number }>(
      'SELECT count() AS n FROM loopscope.otel_traces WHERE TraceId = {traceId:String}',
      { traceId },
    );
    assert.equal(row!.n, 1);
  });
});

test('it ends, and says why, when the ClickHouse that comes has the schema of a later version', async () => {
  const row = { id: 9999, name: 'later', checksum: 'x', applied_at: '2030-01-01 00:00:00' };
  await clickhouse.store.insert('migrations', [row]);
  line.set('down');
  await withCollector(async ({ endpoints, failed }) => {
    assert.equal((await send(endpoints.collector!)).status, 200);
    line.set('up');
    await assert.rejects(failed, { code: 'schema_newer' });
  });
});
