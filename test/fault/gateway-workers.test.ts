import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { inFolder, runCli } from '../support/cli.ts';
import { startTestCollector } from '../support/collector.ts';
import { alive } from '../support/embedded.ts';
import { type RoleProcess, startRole } from '../support/role-process.ts';
import {
  chatCompletion,
  json,
  type ScriptedProvider,
  startScriptedProvider,
} from '../support/scripted-provider.ts';
import { startSpanReceiver } from '../support/span-receiver.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

/** Several processes of the gateway on one port: any of them, and the one that started them, may be killed. */
const KILLS = 4;
const CALLERS = 6;
const LOOP = 'worked';

let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
let collector: Awaited<ReturnType<typeof startTestCollector>>;
let provider: ScriptedProvider;
before(async () => {
  clickhouse = await startTestStore();
  collector = await startTestCollector({ store: clickhouse.store });
  provider = await startScriptedProvider(json(chatCompletion('fine')));
});
after(async () => {
  await provider?.close();
  await collector?.close();
  await clickhouse?.close();
});

const settings = () => ({
  clickhouse: { url: clickhouse.url },
  collector: { url: collector.url },
  gateway: { port: 0, workers: 2 },
  providers: { openai: { base_url: `${provider.url}/v1` } },
});

async function withWorkers(work: (gateway: RoleProcess) => Promise<void>): Promise<void> {
  const gateway = await startRole('gateway', settings());
  try {
    await work(gateway);
  } finally {
    await gateway.close();
  }
}

/** A call on a connection of its own; whether its answer came to the last byte. */
function call(url: string, run: string): Promise<boolean> {
  return new Promise((resolve) => {
    const outgoing = request(
      `${url}/loops/${LOOP}/v1/chat/completions`,
      { method: 'POST', agent: false, headers: { 'content-type': 'application/json', 'x-loop-run': run } },
      (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode === 200));
        response.on('error', () => resolve(false));
      },
    );
    outgoing.on('error', () => resolve(false));
    outgoing.end(JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: run }] }));
  });
}

const metrics = async (url: string) => (await fetch(`${url}/metrics`)).text();

/** How many of the workers that live now have answered calls. */
const serving = async (url: string) =>
  (await metrics(url)).match(
    /^loopscope_gateway_requests_total\{worker="\d",provider="openai",status="200"\}/gm,
  )?.length;

test('a worker that is killed loses its own calls only, is replaced, and no span is lost or doubled', async () => {
  await withWorkers(async (gateway) => {
    const answered: string[] = [];
    let unanswered = 0;
    let isOver = false;
    const callers = Array.from({ length: CALLERS }, async (_, caller) => {
      for (let n = 0; !isOver; n++) {
        const run = `r-${caller}-${n}`;
        if (await call(gateway.url, run)) answered.push(run);
        else unanswered++;
      }
    });
    try {
      for (let kill = 0; kill < KILLS; kill++) {
        const workers = gateway.children();
        assert.equal(workers.length, 2);
        const before = answered.length;
        await until('answers', () => answered.length > before + CALLERS);
        process.kill(workers[kill % 2]!, 'SIGKILL');
        const then = answered.length;
        await until('calls go on', () => answered.length > then + 2 * CALLERS);
        await until(
          'it is replaced',
          () => gateway.children().length === 2 && !gateway.children().includes(workers[kill % 2]!),
        );
        await until('both serve calls', async () => (await serving(gateway.url)) === 2, 30_000);
      }
    } finally {
      isOver = true;
      await Promise.all(callers);
    }
    const figures = `${answered.length} answers, ${unanswered} calls without one`;
    // A caller has one call under way at a time. The next one finds the other worker, or once more the one that the
    // system is still taking down.
    assert.ok(unanswered <= 2 * KILLS * CALLERS, figures);
    assert.match(
      await metrics(gateway.url),
      new RegExp(`^loopscope_gateway_worker_deaths_total\\{cause="SIGKILL"\\} ${KILLS}$`, 'm'),
    );
    await until(
      'what they left is delivered',
      async () =>
        (await metrics(gateway.url)).match(/^loopscope_gateway_spool_records\{worker="\d"\} 0$/gm)?.length ===
        2,
      30_000,
    );
    await collector.flush();
    const rows = await clickhouse.store.query<{ run: string; spans: number; ids: number }>(
      `SELECT RunId AS run, count() AS spans, uniqExact(SpanId) AS ids FROM loopscope.otel_traces
       WHERE Loop = {loop:String} AND Record = 'call' GROUP BY run`,
      { loop: LOOP },
    );
    const spans = new Map(rows.map((row) => [row.run, row]));
    assert.deepEqual(
      answered.filter((run) => spans.get(run)?.ids !== 1),
      [],
      `answers without a span (${figures})`,
    );
    assert.deepEqual(
      rows.filter((row) => row.spans > row.ids),
      [],
      `spans that are there twice (${figures})`,
    );
  });
});

test('workers end with the process that started them, however it ends', async () => {
  await withWorkers(async (gateway) => {
    const workers = gateway.children();
    assert.equal(workers.length, 2);
    gateway.child.kill('SIGKILL');
    await until('the workers are gone', () => !workers.some(alive));
  });
  await withWorkers(async (gateway) => {
    const workers = gateway.children();
    gateway.child.kill('SIGTERM');
    assert.equal(await gateway.exited, 0);
    assert.deepEqual(workers.filter(alive), []);
  });
});

test('a worker that keeps dying ends the whole, and says so', async () => {
  await withWorkers(async (gateway) => {
    const [, victim] = gateway.children();
    let last = victim!;
    process.kill(last, 'SIGKILL');
    const next = () => gateway.children().find((pid) => pid > last && pid !== gateway.children()[0]);
    for (let death = 2; death <= 6; death++) {
      last = await until('its successor', next, 15_000);
      process.kill(last, 'SIGKILL');
    }
    assert.equal(await gateway.exited, 1);
    assert.match(gateway.log(), /Worker \d of the gateway died more than 5 times in 60 s/);
  });
});

test('new settings reach every worker, and the one that comes in the place of another', async () => {
  const other = await startScriptedProvider(json(chatCompletion('from the other')));
  try {
    await withWorkers(async (gateway) => {
      const path = join(gateway.folder, 'loopscope.yaml');
      const change = (more: object) =>
        writeFileSync(path, JSON.stringify({ data_dir: 'data', ...settings(), ...more }));
      change({ limits: [{ scope: 'loop', max: { calls: 1 }, window: 'day' }] });
      await until('limits are refused', () => /2 workers share limits.*not reloaded/.test(gateway.log()));

      change({ providers: { openai: { base_url: `${other.url}/v1` } } });
      await until('they are taken over', () => /settings reloaded/.test(gateway.log()));
      const before = provider.requests.length;
      const [victim] = gateway.children();
      await Promise.all(Array.from({ length: 20 }, (_, i) => call(gateway.url, `changed-${i}`)));
      process.kill(victim!, 'SIGKILL');
      await until('another one is up', () => /is up again/.test(gateway.log()));
      await until('both serve calls', async () => {
        await call(gateway.url, 'changed');
        return (await serving(gateway.url)) === 2;
      });
      assert.equal(provider.requests.length, before);
    });
  } finally {
    await other.close();
  }
});

test('a kill reaches every worker, without Redis too', async () => {
  await withWorkers(async (gateway) => {
    await until('both serve calls', async () => {
      await call(gateway.url, 'before');
      return (await serving(gateway.url)) === 2;
    });
    const { code } = await runCli(['kill', LOOP, '--config', join(gateway.folder, 'loopscope.yaml')]);
    assert.equal(code, 0);
    await until('no worker lets it call', async () => {
      const calls = await Promise.all(Array.from({ length: 20 }, (_, i) => call(gateway.url, `killed-${i}`)));
      return !calls.includes(true);
    });
  });
});

test('what another number of workers left is delivered', async () => {
  const receiver = await startSpanReceiver();
  receiver.status = 503;
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-workers-left-'));
  const start = (workers: number) =>
    startRole('gateway', {
      ...settings(),
      data_dir: folder,
      collector: { url: receiver.url },
      gateway: { port: 0, workers },
    });
  try {
    for (const workers of [1, 3, 2]) {
      const gateway = await start(workers);
      await Promise.all(Array.from({ length: 9 }, (_, i) => call(gateway.url, `left-${workers}-${i}`)));
      await gateway.close();
    }
    receiver.status = 200;
    const last = await start(1);
    const runs = () => receiver.spans.flatMap(({ attributes }) => attributes['loopscope.run.id'] ?? []);
    await until('the spans of all', () => new Set(runs()).size === 27);
    await last.close();
  } finally {
    await receiver.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('limits that each worker would count for itself are refused at the start', async () => {
  const limit = { scope: 'loop', max: { calls: 10 }, window: 'day' };
  const start = (more: object, loop: object = {}) =>
    inFolder(async (folder) => {
      mkdirSync(join(folder, 'loops'));
      writeFileSync(
        join(folder, 'loops/limited.yaml'),
        JSON.stringify({ loop: 'limited', owner: 'me', ...loop }),
      );
      const path = join(folder, 'loopscope.yaml');
      writeFileSync(path, JSON.stringify({ data_dir: 'data', log_level: 'silent', ...settings(), ...more }));
      return await runCli(['gateway', '--config', path]);
    });
  const ofAll = await start({ limits: [limit] });
  assert.equal(ofAll.code, 2);
  assert.match(ofAll.stderr, /2 workers share limits through Redis only.*\(limits\).*redis_url/s);
  const ofLoop = await start({}, { limits: [{ max: { calls: 10 }, window: 'day' }] });
  assert.equal(ofLoop.code, 2);
  assert.match(ofLoop.stderr, /limited\.yaml/);
});

test('a port that is taken is refused as one process refuses it, also where workers have it', async () => {
  await withWorkers(async (other) => {
    for (const taken of [provider.url, other.url].map((url) => new URL(url).port))
      await inFolder(async (folder) => {
        const path = join(folder, 'loopscope.yaml');
        const gateway = { port: Number(taken), workers: 2 };
        writeFileSync(
          path,
          JSON.stringify({ data_dir: 'data', log_level: 'silent', ...settings(), gateway }),
        );
        const { code, stderr } = await runCli(['gateway', '--config', path]);
        assert.equal(code, 1);
        assert.match(stderr, new RegExp(`port ${taken} on 127.0.0.1 is in use`));
      });
  });
});
