import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import pino from 'pino';
import { startEvals } from '../../evals/evals.ts';
import { createMetrics } from '../../evals/metrics.ts';
import { createModelWatch } from '../../evals/models/watch.ts';
import { type Clock, systemClock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import { A } from '../../src/span/attributes.ts';
import { listAlerts } from '../../src/store/alerts.ts';
import { listModelEvents, storedCalendar } from '../../src/store/model-events.ts';
import { modelUses } from '../../src/store/model-uses.ts';
import { runCli } from '../support/cli.ts';
import { suiteFolder } from '../support/eval-runs.ts';
import { startModelList } from '../support/model-list.ts';
import { insertSpans, spanRow } from '../support/span-rows.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';
import { startReceiver } from '../support/webhook-receiver.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const log = pino({ level: 'silent' });
const DAY = 86_400_000;
const NOW = systemClock().now();
const dateIn = (days: number) => new Date(NOW + days * DAY).toISOString().slice(0, 10);
let runs = 0;

interface CallFacts {
  loop: string;
  /** Days before now. */
  day: number;
  asked?: string;
  served?: string;
  provider?: string;
  error?: string;
}

const callRow = ({ loop, day, asked = 'm', served, provider = 'openai', error }: CallFacts) =>
  spanRow({
    loop,
    run: `r-${runs++}`,
    record: 'call',
    at: NOW - day * DAY,
    agent: 'maker',
    role: 'maker',
    status: error === undefined ? 'Unset' : 'Error',
    attributes: {
      [A.provider]: provider,
      [A.requestModel]: asked,
      ...(served !== undefined && { [A.responseModel]: served }),
      ...(error !== undefined && { [A.errorType]: error }),
    },
  });
const call = (...calls: CallFacts[]) => insertSpans(server.store, calls.map(callRow));

const folder = (t: TestContext, extra = '', webhooks: string[] = []) => {
  const made = suiteFolder({}, { webhooks, extra, env: { KEY: 'sk-secret' } });
  t.after(() => made.remove());
  return made;
};

/** A watch of its own, as after a restart; `days` later than now. */
const watch = (config: Config, days = 0) => {
  const clock: Clock = { ...systemClock(), now: () => NOW + days * DAY };
  const { signal } = new AbortController();
  const metrics = createMetrics();
  return createModelWatch({ store: server.store, clock, config, metrics, log, signal, onAlerts: () => {} });
};

const events = async (loop: string) =>
  (await listModelEvents(server.store, { loop, limit: 100 })).map(
    ({ kind, previous_model, model, retires_at }) => ({ kind, from: previous_model, model, retires_at }),
  );
const rowsOf = async (loop: string) =>
  (
    await server.store.query<{ n: number }>(
      'SELECT count() AS n FROM loopscope.model_events WHERE loop = {loop:String}',
      { loop },
    )
  )[0]!.n;

test('a model that is swapped under its name is one event, whoever looks and however often', async (t) => {
  const loop = 'swapped';
  const { config } = folder(t);
  await call({ loop, day: 9, served: 'm-0301' }, { loop, day: 3, served: 'm-0301' });
  const one = watch(config);
  await one.look();
  assert.deepEqual(await events(loop), []);

  await call({ loop, day: 2, served: 'm-0613' }, { loop, day: 1, served: 'm-0613' });
  await Promise.all([one.look(), watch(config).look(), watch(config).look()]);
  await one.look();
  await watch(config).look();
  const [event, ...others] = await listModelEvents(server.store, { loop, limit: 100 });
  assert.equal(others.length, 0);
  assert.equal(await rowsOf(loop), 1);
  assert.deepEqual(
    [event!.kind, event!.previous_model, event!.served_model],
    ['served_model_changed', 'm-0301', 'm-0613'],
  );
  assert.equal(event!.at, NOW - 2 * DAY);
  assert.match(event!.trace_id, /^[0-9a-f]{32}$/);
  assert.deepEqual(await listAlerts(server.store, { loop }), []);
});

test('history that comes late is put where it belongs', async (t) => {
  const loop = 'late';
  const one = watch(folder(t).config);
  await call({ loop, day: 2, served: 'm-b' });
  await one.look();
  await call({ loop, day: 300, served: 'm-a' });
  await one.look();
  assert.deepEqual(await events(loop), [
    { kind: 'served_model_changed', from: 'm-a', model: 'm-b', retires_at: null },
  ]);
});

test('spans from before there was a record of uses are folded in, once, and change nothing when they are again', async (t) => {
  const loop = 'old';
  const { store } = server;
  await call(
    { loop, day: 40, served: 'm-a' },
    { loop, day: 39, served: 'm-a' },
    { loop, day: 2, served: 'm-b' },
  );
  const before = await modelUses(store, { loops: [loop] });
  assert.equal(before.length, 2);
  await store.command('TRUNCATE TABLE loopscope.model_uses');
  for (const _ of [1, 2]) {
    await store.command('TRUNCATE TABLE loopscope.model_watermarks');
    await watch(folder(t).config).look();
    assert.deepEqual(await modelUses(store, { loops: [loop] }), before);
  }
  assert.equal((await events(loop)).length, 1);
  await store.command(
    "ALTER TABLE loopscope.model_uses DELETE WHERE loop = 'old' SETTINGS mutations_sync = 2",
  );
  await watch(folder(t).config).look();
  assert.deepEqual(await modelUses(store, { loops: [loop] }), []);
});

test('a date from a provider’s list is told of, outlives a restart without the provider, and reaches the command line', async (t) => {
  const loop = 'retiring';
  const list = await startModelList(() => ({ body: { data: [{ id: 'm-9', shutdown_date: dateIn(20) }] } }));
  t.after(() => list.close());
  const made = folder(
    t,
    `clickhouse: { url: "${server.url}" }\nproviders:\n  openai: { base_url: "${list.url}/v1", api_key_env: KEY }\n  anthropic: { base_url: "${list.url}" }\n`,
  );
  await call({ loop, day: 50, served: 'm-9' }, { loop, day: 1, served: 'm-9' });
  const one = watch(made.config);
  await one.look();
  assert.deepEqual(await events(loop), []);
  await one.refresh();
  await one.look();
  const expected = { kind: 'retirement_near', from: '', model: 'm-9', retires_at: dateIn(20) };
  assert.deepEqual(await events(loop), [expected]);
  const [alert] = await listAlerts(server.store, { loop });
  assert.deepEqual(
    [alert!.kind, alert!.state, alert!.evidence['notice_days']],
    ['model_retired', 'firing', 30],
  );
  assert.equal(alert!.evidence['source'], `${list.url}/v1/models`);

  await list.close();
  await watch(made.config, 13).look();
  assert.deepEqual(await events(loop), [expected, expected]);
  assert.deepEqual(
    (await listAlerts(server.store, { loop })).map(({ state, evidence }) => [state, evidence['notice_days']]),
    [
      ['firing', 7],
      ['resolved', 30],
    ],
  );

  const cli = await runCli([
    'models',
    '--loop',
    loop,
    '--json',
    '--config',
    `${made.directory}/loopscope.yaml`,
  ]);
  assert.equal(cli.code, 0, cli.stderr);
  const { models } = JSON.parse(cli.stdout);
  assert.equal(models.length, 1);
  const { events: seen, ...model } = models[0];
  assert.deepEqual(model, {
    loop,
    provider: 'openai',
    requested_model: 'm',
    served_model: 'm-9',
    found: true,
    since: new Date(NOW - 50 * DAY).toISOString(),
    last_seen: new Date(NOW - DAY).toISOString(),
    retires_at: dateIn(20),
    days_left: 20,
    replacement: null,
    source: `${list.url}/v1/models`,
  });
  assert.equal(seen.length, 2);
  const shown = await runCli(['models', '--loop', loop, '--config', `${made.directory}/loopscope.yaml`]);
  assert.match(shown.stdout, new RegExp(`^m +m-9 +.* ${dateIn(20)} \\(20 days\\)`, 'm'));
});

test('a calendar is stored when a date changes, and not when it was only read again', async (t) => {
  const made = folder(t, 'model_watch: { calendar: mine.json }');
  const write = (retires_at: string, checked_at: string) =>
    made.write(
      'mine.json',
      JSON.stringify({
        models: [
          { provider: 'openai', model: 'mine', retires_at, source: 'https://example.com', checked_at },
        ],
      }),
    );
  const versions = async () =>
    (await server.store.query('SELECT DISTINCT version, stored_at FROM loopscope.model_calendar')).length;
  const one = watch(made.config);
  write('2027-01-01', '2026-11-01');
  await one.refresh();
  const stored = await versions();
  write('2027-01-01', '2026-11-02');
  await one.refresh();
  assert.equal(await versions(), stored);
  write('2027-01-02', '2026-11-02');
  await watch(made.config, 1).refresh();
  assert.equal(await versions(), stored + 1);
  const { rows } = (await storedCalendar(server.store))!;
  assert.equal(rows.find(({ model }) => model === 'mine')!.retires_at, '2027-01-02');
});

test('a restart goes on from where the last look was', async (t) => {
  const marks = async () =>
    (
      await server.store.query<{ at: number }>(
        "SELECT toUnixTimestamp64Milli(max(at)) AS at FROM loopscope.model_watermarks WHERE name = 'uses'",
      )
    )[0]!.at;
  await server.store.command('TRUNCATE TABLE loopscope.model_watermarks');
  const { config } = folder(t);
  await call({ loop: 'marked', day: 1, served: 'm-1' });
  await watch(config).look();
  const marked = await marks();
  assert.ok(marked > 0);
  // Too little has happened since for another mark, and the old one still holds.
  await call({ loop: 'marked', day: 0.5, served: 'm-2' });
  await watch(config).look();
  assert.equal(await marks(), marked);
  assert.equal((await events('marked')).length, 1);
});

test('dates that are read while the first look is under way are looked at with the next', async (t) => {
  const loop = 'at-once';
  const made = folder(t, 'model_watch: { calendar: mine.json }');
  made.write(
    'mine.json',
    JSON.stringify({
      models: [
        {
          provider: 'openai',
          model: 'm-at-once',
          retires_at: dateIn(3),
          source: 'https://example.com',
          checked_at: dateIn(0),
        },
      ],
    }),
  );
  await call({ loop, day: 1, served: 'm-at-once' });
  const one = watch(made.config);
  await Promise.all([one.look(), one.refresh()]);
  await one.look();
  assert.deepEqual(
    (await events(loop)).map(({ kind, model }) => [kind, model]),
    [['retirement_near', 'm-at-once']],
  );
});

test('a model that is gone is told to the owner once, and again when it is back; the command line says so', async (t) => {
  const loop = 'gone';
  const hook = await startReceiver(() => 200);
  t.after(() => hook.close());
  const made = folder(t, `clickhouse: { url: "${server.url}" }\n`, [hook.url]);
  const mine = () =>
    hook
      .taken()
      .map(({ body }) => JSON.parse(body) as { loop: string; kind: string; state: string; text: string })
      .filter((message) => message.loop === loop);
  const clock = systemClock();
  await call({ loop, day: 2, served: 'm-1' }, { loop, day: 0.1, error: 'model_not_found' });
  const evals = await startEvals({ config: made.config, store: server.store, clock, log });
  await until('the owner was told', () => mine().length === 1);
  await evals.idle();
  await evals.close();
  assert.deepEqual([mine()[0]!.kind, mine()[0]!.state], ['model_retired', 'firing']);
  assert.match(mine()[0]!.text, /^Loop gone asks for m \(openai\), and the provider has no such model/);
  assert.equal(await rowsOf(loop), 1);

  const config = ['--config', `${made.directory}/loopscope.yaml`];
  const gone = await runCli(['models', '--loop', loop, '--json', ...config]);
  assert.equal(gone.code, 1, gone.stderr);
  assert.deepEqual(
    JSON.parse(gone.stdout).models.map((m: { found: boolean; served_model: string | null }) => [
      m.found,
      m.served_model,
    ]),
    [
      [false, null],
      [true, 'm-1'],
    ],
  );

  await call({ loop, day: 0.01, served: 'm-1' });
  const again = await startEvals({ config: made.config, store: server.store, clock, log });
  t.after(() => again.close());
  await again.idle();
  assert.deepEqual(
    mine().map(({ state }) => state),
    ['firing', 'resolved'],
  );
  assert.match(mine()[1]!.text, /The model answers again/);
  assert.equal((await runCli(['models', '--loop', loop, ...config])).code, 0);
});

test('Anthropic’s word for what is not there counts as a missing model, other failures do not', async (t) => {
  const loop = 'words';
  await call(
    { loop, day: 0.2, asked: 'claude-x', provider: 'anthropic', error: 'not_found_error' },
    { loop, day: 0.2, asked: 'gpt-x', error: 'not_found_error' },
    { loop, day: 0.2, asked: 'gpt-y', error: '429' },
  );
  await watch(folder(t).config).look();
  assert.deepEqual(
    (await events(loop)).map(({ kind, model }) => [kind, model]),
    [['model_not_found', 'claude-x']],
  );
});

test('a loop that nobody knows is refused', async (t) => {
  const made = folder(t, `clickhouse: { url: "${server.url}" }\n`);
  const { code, stderr } = await runCli([
    'models',
    '--loop',
    'nobody',
    '--config',
    `${made.directory}/loopscope.yaml`,
  ]);
  assert.equal(code, 1);
  assert.match(stderr, /There is no loop "nobody"/);
});
