import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { nextChange } from '../../evals/alerts.ts';
import type { Alarm } from '../../evals/detect/report.ts';
import { alertText, signature, webhookBody } from '../../evals/message.ts';
import { backoffMs, createDeliveries, type DeliveryContext } from '../../evals/webhook.ts';
import type { Alert } from '../../src/store/alerts.ts';

const time = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();

const alarm = (at_run: number, change_at_run: number, kind: Alarm['kind'] = 'golden_drop'): Alarm => ({
  kind,
  at_run,
  at: time(at_run),
  change_at_run,
  change_at: time(change_at_run),
  cause: { dimension: 'model', from: 'gpt-4-0314', to: 'gpt-4-0613' },
  e_value: 12_345.6,
  checker_pass_rate: { before: 0.996, after: 0.947 },
  golden: { before: 0.84, after: 0.5 },
  evidence: {
    runs: { before: 1, after: 1 },
    scored: { before: 1, after: 1 },
    verdicts: { before: 1, after: 1 },
    change_at_run_interval: [change_at_run, at_run],
    change_at_run_by_score: change_at_run,
    threshold: 10_000,
    arl: 10_000,
    baseline: { n: 50, mean: 0.84, bound: 0.7 },
    candidates: [],
    look_at: [],
  },
});

/** Asks until nothing changes any more, as the detection tick does, and gives the states told. */
function settle(alerts: Alert[], watched: Parameters<typeof nextChange>[1]): string[] {
  const told: string[] = [];
  for (;;) {
    const change = nextChange('primes', watched, alerts, Date.UTC(2026, 0, 2));
    if (!change) return told;
    const at = alerts.findIndex((a) => a.alert_id === change.alert.alert_id);
    if (at >= 0) alerts[at] = change.alert;
    else alerts.push(change.alert);
    told.push(`${change.alert.state} ${change.alert.change_at_run}`);
    assert.ok(told.length < 10, 'states go round in circles');
  }
}

test('an alarm is told once, also when late scores move it, and its recovery once', () => {
  const alerts: Alert[] = [];
  assert.deepEqual(settle(alerts, { alarms: [], recoveries: [] }), []);
  assert.deepEqual(settle(alerts, { alarms: [alarm(30, 20)], recoveries: [] }), ['firing 20']);
  assert.deepEqual(settle(alerts, { alarms: [alarm(30, 20)], recoveries: [] }), []);
  assert.deepEqual(settle(alerts, { alarms: [alarm(33, 22)], recoveries: [] }), []);
  const recoveries = [{ alarm: 0, at_run: 50, at: time(50) }];
  assert.deepEqual(settle(alerts, { alarms: [alarm(33, 22)], recoveries }), ['resolved 20']);
  assert.equal(alerts[0]!.evidence['recovered_at_run'], 50);
  assert.deepEqual(settle(alerts, { alarms: [alarm(36, 24)], recoveries }), []);
});

test('a second episode gets an alert of its own, after the first was resolved', () => {
  const alerts: Alert[] = [];
  settle(alerts, { alarms: [alarm(30, 20)], recoveries: [] });
  const watched = {
    alarms: [alarm(30, 20), alarm(90, 80)],
    recoveries: [{ alarm: 0, at_run: 50, at: time(50) }],
  };
  assert.deepEqual(settle(alerts, watched), ['resolved 20', 'firing 80']);
});

test('an episode that was over before anybody looked is raised and resolved', () => {
  const watched = { alarms: [alarm(30, 20)], recoveries: [{ alarm: 0, at_run: 50, at: time(50) }] };
  assert.deepEqual(settle([], watched), ['firing 20', 'resolved 20']);
});

test('an alarm that late scores took back does not stay open for ever', () => {
  const alerts: Alert[] = [];
  settle(alerts, { alarms: [alarm(30, 20)], recoveries: [] });
  assert.deepEqual(settle(alerts, { alarms: [], recoveries: [] }), ['resolved 20']);
  assert.equal(alerts[0]!.evidence['withdrawn'], true);
});

test('an alarm that late scores took back does not end by the recovery of an earlier episode', () => {
  const alerts: Alert[] = [];
  const first = { alarms: [alarm(30, 20)], recoveries: [{ alarm: 0, at_run: 50, at: time(50) }] };
  settle(alerts, first);
  settle(alerts, { ...first, alarms: [alarm(30, 20), alarm(90, 80)] });
  assert.deepEqual(settle(alerts, first), ['resolved 80']);
  const { evidence } = alerts.find((alert) => alert.change_at_run === 80)!;
  assert.deepEqual([evidence['withdrawn'], evidence['recovered_at']], [true, undefined]);
});

test('a rise makes no alert', () => {
  assert.deepEqual(settle([], { alarms: [alarm(30, 20, 'golden_rise')], recoveries: [] }), []);
});

test('the same alarm has the same id on every machine', () => {
  const id = () => nextChange('primes', { alarms: [alarm(30, 20)], recoveries: [] }, [], 1)!.alert.alert_id;
  assert.equal(id(), id());
  assert.match(id(), /^[0-9a-f]{16}$/);
});

test('the message says what happened, since when, how sure, what changed and where to look', () => {
  const { alert } = nextChange('primes', { alarms: [alarm(30, 20)], recoveries: [] }, [], 1)!;
  const text = alertText(alert);
  for (const wanted of [
    'Loop primes',
    'from 0.84 to 0.50',
    '99.6 % to 94.7 %',
    time(20),
    'after 20 runs',
    'once in 10,000 scored runs',
    'model, from gpt-4-0314 to gpt-4-0613',
    'loopscope alerts --loop primes',
  ])
    assert.ok(text.includes(wanted), `${wanted}: ${text}`);
  assert.match(alertText({ ...alert, cause: null }), /No change of model, prompt, tools or checker/);
  assert.match(
    alertText({ ...alert, state: 'resolved' }),
    /^Resolved: primes\..*loopscope runs --loop primes$/,
  );
  const body = JSON.parse(webhookBody(alert)) as Record<string, unknown>;
  assert.deepEqual(Object.keys(body), ['alert', 'loop', 'kind', 'state', 'text']);
});

test('the signature covers time and body', () => {
  const expected = createHmac('sha256', 's3cret').update('1700000000.{"a":1}').digest('hex');
  assert.equal(signature('s3cret', '1700000000', '{"a":1}'), `v1=${expected}`);
});

test('backoff lies between nothing and a doubled ceiling that ends', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (made, u) => {
        const ms = backoffMs(made, { random: () => u });
        assert.ok(ms >= 0 && ms <= Math.min(60_000, 500 * 2 ** made));
      },
    ),
  );
});

test('messages that should be signed are not sent unsigned: without the secret nothing starts', () => {
  const receivers = [{ url: 'http://127.0.0.1:1/page', secret_env: 'HOOK', secret: undefined }];
  assert.throws(
    () => createDeliveries({ receivers } as unknown as DeliveryContext),
    /^LoopscopeError: alerts\.webhooks: secret_env names HOOK/,
  );
});
