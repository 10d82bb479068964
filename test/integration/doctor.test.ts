import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Collector } from '../../collector/collector.ts';
import type { Check } from '../../src/cli/health-checks.ts';
import { judgeSpool, parseSpoolFigures } from '../../src/cli/storage-checks.ts';
import { openStore } from '../../src/store/client.ts';
import { applyRetention } from '../../src/store/retention.ts';
import { runCli } from '../support/cli.ts';
import { startTestCollector } from '../support/collector.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

type TestStore = Awaited<ReturnType<typeof startTestStore>>;
let clickhouse: TestStore;
let folder: string;

before(async () => {
  clickhouse = await startTestStore();
  folder = mkdtempSync(join(tmpdir(), 'loopscope-doctor-'));
});
after(async () => {
  await clickhouse?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function doctor(collector: Collector, settings = ''): Promise<Map<string, Check>> {
  const config = join(folder, 'loopscope.yaml');
  writeFileSync(
    config,
    `clickhouse: { url: "${clickhouse.url}" }\ncollector: { url: "${collector.url}" }\n${settings}`,
  );
  const { stdout } = await runCli(['doctor', '--json', '--config', config]);
  const { checks } = JSON.parse(stdout) as { checks: Check[] };
  return new Map(checks.map((check) => [check.name, check]));
}

async function send(collector: Collector): Promise<void> {
  const span = {
    traceId: 'ab'.repeat(16),
    spanId: 'cd'.repeat(8),
    name: 'n',
    startTimeUnixNano: String(BigInt(Date.now()) * 1_000_000n),
    endTimeUnixNano: String(BigInt(Date.now()) * 1_000_000n),
  };
  const answer = await fetch(`${collector.url}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }),
  });
  assert.equal(answer.status, 200);
}

test('doctor shows what waits in the spool, what a span takes on disk, and how long rows are kept', async () => {
  const collector = await startTestCollector({ store: clickhouse.store });
  try {
    assert.match((await doctor(collector)).get('storage')!.found, /^0 spans; all tables/);
    await send(collector);
    await collector.flush();
    const checks = await doctor(collector);
    assert.equal(checks.get('spool')!.state, 'ok');
    assert.match(checks.get('spool')!.found, /^nothing waits, [\d.]+ MB of 2147\.5 MB on disk$/);
    assert.match(checks.get('storage')!.found, /^1 spans, [1-9]\d* bytes each on disk; all tables/);
    assert.match(checks.get('retention')!.found, /messages for ever.*traces for ever/);

    const retention = 'retention: { messages_days: 30, traces_days: 400 }';
    const before = (await doctor(collector, retention)).get('retention')!;
    assert.equal(before.state, 'warn');
    assert.match(before.todo, /start it again/);
    await applyRetention(clickhouse.store, { messages_days: 30, traces_days: 400 });
    const after = (await doctor(collector, retention)).get('retention')!;
    assert.equal(after.state, 'ok');
    assert.match(after.found, /messages 30 days.*traces 400 days/);
  } finally {
    await collector.close();
  }
});

test('doctor shows the requests that wait while ClickHouse is away', async () => {
  const nowhere = openStore({ url: 'http://127.0.0.1:1' });
  const collector = await startTestCollector({ store: nowhere });
  try {
    await send(collector);
    const found = await until('the request that waits', async () => {
      const spool = (await doctor(collector)).get('spool')!;
      return spool.found.startsWith('1 requests wait') && spool.found;
    });
    assert.match(found, /^1 requests wait for ClickHouse, the oldest for \d+ s/);
  } finally {
    await collector.close();
    await nowhere.close();
  }
});

test('a spool that lags, fills up or lost something is a finding', () => {
  const figures = { bytes: 10, records: 1, oldestUnsentS: 1, diskErrors: 0, setAside: {} };
  const state = (given: Partial<typeof figures> & { setAside?: Record<string, number> }) =>
    judgeSpool({ ...figures, ...given }, { bytes_max: 1_000, age_max_h: 1 }).state;
  assert.equal(state({}), 'ok');
  assert.equal(state({ setAside: { duplicate: 3 } }), 'ok');
  assert.equal(state({ setAside: { rejected: 1 } }), 'warn');
  assert.equal(state({ diskErrors: 1 }), 'warn');
  assert.equal(state({ oldestUnsentS: 60 }), 'warn');
  assert.equal(state({ bytes: 500 }), 'warn');
  assert.equal(state({ bytes: 900 }), 'fail');
  assert.equal(state({ oldestUnsentS: 3_300 }), 'fail');
  assert.equal(parseSpoolFigures('something else'), undefined);
});
