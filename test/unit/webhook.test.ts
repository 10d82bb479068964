import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { settle } from '../../evals/alerts.ts';
import { alertText, signature, webhookBody } from '../../evals/message.ts';
import { backoffMs } from '../../evals/notify/backoff.ts';
import { createNotifications, type NotificationContext } from '../../evals/notify/notify.ts';
import { alarm, runTime } from '../support/alarm.ts';
import { alertSettings } from '../support/notify.ts';

test('the message says what happened, since when, how sure, what changed and where to look', () => {
  const tale = { alarm: alarm(30, 20), joined: [], recovery: null, alertId: null };
  const { alert } = settle('primes', [tale], [], { now: 1, isFresh: false }).changes[0]!;
  const text = alertText(alert);
  for (const wanted of [
    'Loop primes',
    'from 0.84 to 0.50',
    '99.6 % to 94.7 %',
    runTime(20),
    'after 20 runs',
    'once in 10,000 runs',
    'model, from gpt-4-0314 to gpt-4-0613',
    'loopscope alerts --loop primes',
  ])
    assert.ok(text.includes(wanted), `${wanted}: ${text}`);
  assert.match(
    alertText({ ...alert, cause: null }),
    /No change of model, prompt, tools, checker, golden data or tasks/,
  );
  const measured = { before: { n: 200, mean: 0.98 }, after: { n: 40, mean: 0.025 } };
  const joined = [{ kind: 'output_collapse', at: runTime(33), at_run: 33, e_value: 20_000 }];
  assert.match(
    alertText({ ...alert, kind: 'no_effect', evidence: { ...alert.evidence, measured, joined } }),
    /^Loop primes no longer changes anything: .*from 98\.0 % to 2\.5 %\. The same change raised output_collapse\./,
  );
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
  const webhooks = [{ url: 'http://127.0.0.1:1/page', secret_env: 'HOOK', secret: undefined }];
  const settings = { ...alertSettings(), webhooks };
  assert.throws(
    () => createNotifications({ settings } as unknown as NotificationContext),
    /^LoopscopeError: alerts\.webhooks: secret_env names HOOK/,
  );
});
