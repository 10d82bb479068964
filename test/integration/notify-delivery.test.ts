import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import pino from 'pino';
import { createMetrics } from '../../evals/metrics.ts';
import { createNotifications } from '../../evals/notify/notify.ts';
import { type Lead, openRedisLead } from '../../evals/queue/lead.ts';
import type { AlertsConfig } from '../../src/alert-settings.ts';
import type { Check } from '../../src/cli/health-checks.ts';
import { type Clock, systemClock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { type Alert, appendAlert } from '../../src/store/alerts.ts';
import type { Store } from '../../src/store/client.ts';
import { runCli } from '../support/cli.ts';
import { alertOf, alertSettings, CAUSE, fastClock, loopOf } from '../support/notify.ts';
import { redisMissing, TestRedis } from '../support/redis.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';
import { type Answer, startReceiver } from '../support/webhook-receiver.ts';

/** Each change of state gets to each receiver, whatever the receiver or this process does, over a real ClickHouse. */

const WAIT_MS = 30_000;
const KEY = 'k'.repeat(32);
const log = pino({ level: 'silent' });
const real = systemClock();

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const receive = async (t: TestContext, answer: (n: number, body: string) => Answer) => {
  const receiver = await startReceiver(answer);
  t.after(() => receiver.close());
  return receiver;
};

/** Receivers of the alerts of loops with a prefix, and of no others. */
const settingsOf = (
  prefix: string,
  receivers: Record<string, unknown>,
  more: Record<string, unknown> = {},
  env = {},
) =>
  alertSettings(
    { receivers, routes: [{ loop: `${prefix}-*`, receivers: Object.keys(receivers) }], default: [], ...more },
    env,
  );

interface Started {
  metrics: () => string;
  wake: () => void;
  pending: () => Promise<number>;
  stop: () => Promise<void>;
}

/** What tells receivers in an evals process. */
function start(
  t: TestContext,
  settings: AlertsConfig,
  {
    clock = real,
    store = server.store,
    isTeller = () => true,
  }: { clock?: Clock; store?: Store; isTeller?: () => boolean } = {},
): Started {
  const stopping = new AbortController();
  const metrics = createMetrics();
  const { signal } = stopping;
  const loop = loopOf({ owner: 'platform', team: 'ml' });
  const telling = createNotifications({
    store,
    settings,
    loopOf: () => loop,
    clock,
    metrics,
    log,
    signal,
    isTeller,
  });
  const running = telling.run();
  const stop = async () => {
    stopping.abort();
    await running;
  };
  t.after(stop);
  return { metrics: () => metrics.render(), wake: telling.wake, pending: telling.pending, stop };
}

const now = (clock: Clock = real) => new Date(clock.now()).toISOString();
const idOf = (loop: string) => `nd-${loop}`;
async function raise(
  loop: string,
  { clock = real, ...given }: Partial<Alert> & { clock?: Clock } = {},
): Promise<void> {
  const alert = {
    ...alertOf(loop),
    alert_id: idOf(loop),
    started_at: now(clock),
    change_at: now(clock),
    ...given,
  };
  await appendAlert(server.store, { alert, at: clock.now() });
}
const resolve = (loop: string, clock: Clock = real) =>
  raise(loop, {
    state: 'resolved',
    clock,
    evidence: { ...alertOf(loop).evidence, recovered_at: now(clock) },
  });

test('Slack and PagerDuty get the loops of one cause as one, in the shape that each documents, and their end', async (t) => {
  const chat = await receive(t, () => 200);
  const pd = await receive(t, () => 202);
  const settings = settingsOf(
    'shape',
    {
      chat: { type: 'slack', url_env: 'SLACK' },
      oncall: { type: 'pagerduty', routing_key_env: 'PD', url: pd.origin },
    },
    { group_wait_s: 1, group_interval_s: 1, link_url: 'https://grafana.example/d/loop?var-loop={loop}' },
    { SLACK: `${chat.origin}/services/s3cr3t`, PD: KEY },
  );
  const evil = { ...CAUSE, to: '<!channel> & <https://evil.example|look>' };
  const loops = ['shape-1', 'shape-2', 'shape-3'];
  for (const loop of loops) await raise(loop, { cause: evil });
  const started = start(t, settings);
  await until('both are told', () => chat.received.length > 0 && pd.received.length > 0, WAIT_MS);
  assert.deepEqual([chat.received.length, pd.received.length], [1, 1]);

  interface SlackMessage {
    text: string;
    blocks: {
      type: string;
      text?: { type: string; text: string };
      elements?: { text: string; url?: string }[];
    }[];
  }
  const message = JSON.parse(chat.received[0]!.body) as SlackMessage;
  assert.equal(chat.received[0]!.path, '/services/s3cr3t');
  assert.deepEqual(
    message.blocks.map(({ type }) => type),
    ['header', 'section', 'actions', 'context'],
  );
  const [header, section, actions, foot] = message.blocks;
  assert.match(
    message.text,
    /^3 loops no longer do their work since .*: model, from gpt-4\.1 to &lt;!channel&gt; &amp; /,
  );
  assert.equal(header!.text!.type, 'plain_text');
  assert.ok(header!.text!.text.length <= 150 && header!.text!.text.startsWith(':red_circle: 3 loops'));
  assert.equal(section!.text!.type, 'mrkdwn');
  assert.ok(section!.text!.text.length <= 3_000);
  assert.equal(actions!.elements![0]!.url, 'https://grafana.example/d/loop?var-loop=shape-1');
  assert.match(foot!.elements![0]!.text, /page · owner platform · `loopscope alerts` · notice [0-9a-f]{12}/);
  for (const text of [message.text, section!.text!.text, foot!.elements![0]!.text])
    assert.doesNotMatch(text, /[<>]|&(?!amp;|lt;|gt;)/, 'nobody outside mentions a channel');

  const event = JSON.parse(pd.received[0]!.body) as Record<string, unknown> & {
    payload: Record<string, unknown> & { custom_details: Record<string, unknown> };
  };
  assert.deepEqual(Object.keys(event).sort(), [
    'client',
    'client_url',
    'dedup_key',
    'event_action',
    'links',
    'payload',
    'routing_key',
  ]);
  assert.deepEqual([event['routing_key'], event['event_action']], [KEY, 'trigger']);
  assert.match(String(event['dedup_key']), /^[0-9a-f]{32}$/);
  assert.deepEqual(event['links'], [
    { href: 'https://grafana.example/d/loop?var-loop=shape-1', text: 'Look further' },
  ]);
  const { summary, source, severity, timestamp, group, class: kinds, custom_details } = event.payload;
  assert.match(String(summary), /^3 loops no longer do their work since /);
  assert.deepEqual([source, severity, group, kinds], ['3 loops', 'critical', 'ml', 'golden_drop']);
  assert.ok(Number.isFinite(Date.parse(String(timestamp))));
  assert.match(
    String(custom_details['text']),
    /A false alarm comes|a false alarm comes at most once in 10,000 runs/,
  );
  assert.deepEqual(
    (custom_details['alerts'] as { loop: string }[]).map(({ loop }) => loop),
    loops,
  );

  await resolve('shape-1');
  started.wake();
  await until('Slack knows of the first', () => chat.received.length === 2, WAIT_MS);
  await resolve('shape-2');
  await resolve('shape-3');
  started.wake();
  const lastText = () => (JSON.parse(chat.received.at(-1)!.body) as SlackMessage).text;
  await until(
    'both know that it is over',
    () => lastText().startsWith('Resolved: ') && pd.received.length === 2,
    WAIT_MS,
  );
  assert.deepEqual(JSON.parse(pd.received[1]!.body), {
    routing_key: KEY,
    event_action: 'resolve',
    dedup_key: event['dedup_key'],
  });
  await until('nothing is owed', async () => (await started.pending()) === 0, WAIT_MS);
  assert.match(started.metrics(), /notifications_sent_total\{kind="pagerduty"\} 6\n/);
  const stored = JSON.stringify(await server.store.query('SELECT * FROM loopscope.alert_deliveries'));
  for (const secret of [KEY, 's3cr3t'])
    assert.ok(!stored.includes(secret) && !started.metrics().includes(secret));
});

test('a webhook that fails, resets and hangs, and evals restarted meanwhile: every change arrives, under its key', async (t) => {
  const clock = fastClock(20);
  const answers: Answer[] = [500, 'reset', 503, 'hang'];
  const hook = await receive(t, () => answers.shift() ?? 204);
  const settings = settingsOf('hook', { hook: { type: 'webhook', url: hook.url } });
  await raise('hook-a', { clock });
  const first = start(t, settings, { clock });
  await until('it hangs', () => hook.received.length === 4, WAIT_MS);
  await raise('hook-b', { clock });
  await resolve('hook-a', clock);
  await first.stop();

  const second = start(t, settings, { clock });
  await until('all are taken', () => hook.taken().length === 3, WAIT_MS);
  await until('nothing is owed', async () => (await second.pending()) === 0, WAIT_MS);
  const told = hook.taken().map(({ body, headers }) => {
    const { alert } = JSON.parse(body) as { alert: Alert };
    return { change: `${alert.loop} ${alert.state}`, key: headers['idempotency-key'] };
  });
  assert.deepEqual(told.map(({ change }) => change).sort(), [
    'hook-a firing',
    'hook-a resolved',
    'hook-b firing',
  ]);
  assert.ok(
    told.findIndex((one) => one.change === 'hook-a firing') <
      told.findIndex((one) => one.change === 'hook-a resolved'),
  );
  const keyOf = (change: string) => told.find((one) => one.change === change)!.key;
  assert.ok(
    hook.received.slice(0, 4).every(({ headers }) => headers['idempotency-key'] === keyOf('hook-a firing')),
  );
  await until(
    'the gauge says so',
    () =>
      /notification_oldest_undelivered_seconds\{kind="webhook",receiver="hook"\} 0\n/.test(second.metrics()),
    WAIT_MS,
  );
  await second.stop();
  const third = start(t, settings, { clock });
  assert.equal(await third.pending(), 0);
});

test('one message that a receiver cannot stomach holds back no other', async (t) => {
  const clock = fastClock(20);
  const hook = await receive(t, (_, body) => (body.includes('"loop":"stomach-bad"') ? 'reset' : 204));
  await raise('stomach-bad', { clock });
  for (const i of [1, 2, 3]) await raise(`stomach-${i}`, { clock });
  const started = start(t, settingsOf('stomach', { hook: { type: 'webhook', url: hook.url } }), { clock });
  await until('the others are taken', () => hook.taken().length === 3, WAIT_MS);
  assert.equal(await started.pending(), 1);
  await until(
    'it is counted',
    () => /oldest_undelivered_seconds\{kind="webhook",receiver="hook"\} [1-9]/.test(started.metrics()),
    WAIT_MS,
  );
});

test('what is refused for good is given up, counted and shown by doctor, and tried once more by the next start', async (t) => {
  const clock = fastClock(400);
  let isFixed = false;
  const pd = await receive(t, () =>
    isFixed ? 202 : { status: 400, body: `{"errors":["bad routing_key ${KEY}"]}` },
  );
  const settings = settingsOf(
    'refused',
    { 'pd-refused': { type: 'pagerduty', routing_key_env: 'PD', url: pd.origin } },
    { group_wait_s: 0, group_interval_s: 0 },
    { PD: KEY },
  );
  await raise('refused-1', { clock });
  const first = start(t, settings, { clock });
  await until(
    'it is given up',
    () => /notifications_given_up_total\{kind="pagerduty"\} 1\n/.test(first.metrics()),
    WAIT_MS,
  );
  await until('it is written down', async () => (await first.pending()) === 0, WAIT_MS);
  await first.stop();
  assert.equal(pd.received.length, 5);

  const folder = mkdtempSync(join(tmpdir(), 'loopscope-notify-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const config = join(folder, 'loopscope.yaml');
  writeFileSync(
    config,
    `clickhouse: { url: "${server.url}" }\nalerts: { receivers: { pd-refused: { type: pagerduty, routing_key_env: PD } } }\n`,
  );
  const doctor = async () => {
    const { stdout } = await runCli(['doctor', '--json', '--config', config], { env: { PD: KEY }, clock });
    return (JSON.parse(stdout) as { checks: Check[] }).checks.filter(
      ({ name }) => name === 'alert receiver pd-refused',
    );
  };
  const [set, refused] = await doctor();
  assert.deepEqual([set!.state, set!.found], ['ok', 'pagerduty, PD is set']);
  assert.equal(refused!.state, 'warn');
  assert.match(
    refused!.found,
    /^refused 1 change of alerts for good, last at .*: answered 400: \{"errors":\["bad routing_key …"\]\}$/,
  );

  isFixed = true;
  start(t, settings, { clock });
  await until('the next start tells it', () => pd.received.length === 6, WAIT_MS);
  await until('doctor is content', async () => (await doctor()).length === 1, WAIT_MS);
});

test('a silence made at the terminal holds a loop back within seconds, and what still fires is told at its end', async (t) => {
  const hook = await receive(t, () => 204);
  const cli = async (...argv: string[]) => {
    const { code, stdout, stderr } = await runCli([...argv, '--json'], {
      env: { LOOPSCOPE_CLICKHOUSE_URL: server.url },
    });
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as Record<string, unknown>;
  };
  const made = await cli(
    'alerts',
    'silence',
    'quiet-*',
    '--for',
    '2h',
    '--reason',
    'moving',
    '--by',
    'ana',
    '--kind',
    'golden_drop',
  );
  const { id } = made['silence'] as { id: string };
  const started = start(t, settingsOf('quiet', { hook: { type: 'webhook', url: hook.url } }));
  await raise('quiet-1');
  await raise('quiet-2', { kind: 'no_effect' });
  started.wake();
  await until('the kind that is not silenced is told', () => hook.taken().length === 1, WAIT_MS);
  await until(
    'the other is counted',
    () => /notifications_silenced_total\{kind="webhook"\} 1\n/.test(started.metrics()),
    WAIT_MS,
  );
  assert.equal(await started.pending(), 0);
  const { alerts } = (await runCli(['alerts', '--json', '--loop', 'quiet-1'], {
    env: { LOOPSCOPE_CLICKHOUSE_URL: server.url },
  }).then(({ stdout }) => JSON.parse(stdout))) as { alerts: Alert[] };
  assert.equal(alerts[0]!.state, 'firing', 'it is an alert all the same');
  const { silences } = (await cli('alerts', 'silences')) as { silences: Record<string, unknown>[] };
  const { from, until: end, ...rest } = silences.find((silence) => silence['id'] === id)!;
  assert.deepEqual(rest, { id, loop: 'quiet-*', kinds: ['golden_drop'], by: 'ana', reason: 'moving' });
  assert.equal(Math.round((Date.parse(String(end)) - Date.parse(String(from))) / 60_000), 120);

  await cli('alerts', 'unsilence', id);
  await until('it is told', () => hook.taken().length === 2, WAIT_MS);
  assert.match(hook.taken()[1]!.body, /"loop":"quiet-1"/);
  const again = await runCli(['alerts', 'unsilence', id], { env: { LOOPSCOPE_CLICKHOUSE_URL: server.url } });
  assert.deepEqual([again.code, /There is no silence/.test(again.stderr)], [1, true]);
});

test('a silence says what it expects where it is given something else', async () => {
  const env = { LOOPSCOPE_CLICKHOUSE_URL: server.url };
  for (const [argv, says] of [
    [['a b', '--for', '2h', '--reason', 'x'], /Expected the name of a loop, or a pattern/],
    [['a', '--for', '2 hours', '--reason', 'x'], /Expected a time such as 30m, 2h or 3d/],
    [['a', '--for', '1000d', '--reason', 'x'], /of 90 days at most/],
    [['a', '--for', '2h'], /--reason/],
    [['a', '--for', '2h', '--reason', 'two\nlines'], /--reason: expected one line/],
    [['a', '--for', '2h', '--reason', 'x', '--kind', 'golden_rise'], /Expected one of golden_drop/],
  ] as const) {
    const { code, stderr } = await runCli(['alerts', 'silence', ...argv], { env });
    assert.equal(code, 2, stderr);
    assert.match(stderr, says);
  }
});

test('of two evals processes that share a Redis one tells; when it goes the other takes over', {
  skip: redisMissing,
}, async (t) => {
  const redis = await TestRedis.start();
  t.after(() => redis.close());
  const hook = await receive(t, () => 204);
  const settings = settingsOf('two', { hook: { type: 'webhook', url: hook.url } });
  const leads: Lead[] = [];
  const processes: Started[] = [];
  for (let i = 0; i < 2; i++) {
    const lead = await openRedisLead({ url: redis.url, leaseMs: 1_000, clock: real, log });
    t.after(() => lead.close());
    leads.push(lead);
    processes.push(start(t, settings, { isTeller: () => lead.isLeader() }));
  }
  await raise('two-a');
  for (const each of processes) each.wake();
  await until('it is told', () => hook.received.length > 0, WAIT_MS);
  await processes[0]!.stop();
  await leads[0]!.close();
  await raise('two-b');
  await until('the other tells', () => hook.received.length > 1, WAIT_MS);
  await until('nothing is owed', async () => (await processes[1]!.pending()) === 0, WAIT_MS);
  assert.deepEqual(
    hook.received.map(({ body }) => (JSON.parse(body) as { loop: string }).loop),
    ['two-a', 'two-b'],
  );
});

test('while the store is away an Alertmanager is reminded from memory, and nothing is sent that could not be written down', async (t) => {
  const clock = fastClock(20);
  const am = await receive(t, () => 200);
  let isAway = false;
  const away = () => {
    if (isAway) throw new LoopscopeError('store_unavailable', 'away');
  };
  const store: Store = {
    ...server.store,
    query: async (...args) => {
      away();
      return server.store.query(...args);
    },
    insert: async (...args) => {
      away();
      return server.store.insert(...args);
    },
  } as Store;
  const settings = settingsOf('memory', { am: { type: 'alertmanager', urls: [am.origin], resend_s: 2 } });
  await raise('memory-a', { clock });
  const started = start(t, settings, { clock, store });
  await until('it is told', async () => am.received.length > 0 && (await started.pending()) === 0, WAIT_MS);
  isAway = true;
  const before = am.received.length;
  await raise('memory-b', { clock });
  started.wake();
  await until('it is reminded', () => am.received.length > before + 3, WAIT_MS);
  assert.ok(am.received.every(({ path, body }) => path === '/api/v2/alerts' && !body.includes('memory-b')));
  isAway = false;
  await until('the other is told', () => am.received.some(({ body }) => body.includes('memory-b')), WAIT_MS);
});
