import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { alertmanager } from '../../evals/notify/alertmanager.ts';
import { pagerDuty } from '../../evals/notify/pagerduty.ts';
import type { Notice, Receiver } from '../../evals/notify/receiver.ts';
import { slack } from '../../evals/notify/slack.ts';
import { webhook } from '../../evals/notify/webhook.ts';
import { systemClock } from '../../src/clock.ts';
import { alertOf, noticeOf } from '../support/notify.ts';
import { type Answer, startReceiver } from '../support/webhook-receiver.ts';

/** What every receiver owes its courier, over real HTTP. */

const clock = systemClock();
const SECRET = 'R0UT1NG-K3Y-OF-32-CHARACTERS-000';
const never = new AbortController().signal;

const RECEIVERS: Record<string, (url: string) => Receiver> = {
  alertmanager: (url) => alertmanager('am', { url, token: SECRET, resendMs: 60_000 }, clock, () => undefined),
  slack: (url) => slack('chat', `${url}/${SECRET}`, () => undefined),
  pagerduty: (url) => pagerDuty('pd', { url, routingKey: SECRET }, () => undefined),
  webhook: (url) => webhook('hook', { url, secret: SECRET }, clock),
};

/** A notice as it comes to such a receiver: of a group, or of one alert. */
const noticeTo = ({ grouped }: Receiver): Notice => noticeOf(grouped ? ['a', 'b', 'c'] : ['a']);

async function sent(t: TestContext, make: (url: string) => Receiver, answer: Answer) {
  const server = await startReceiver(() => answer);
  t.after(() => server.close());
  const receiver = make(server.origin);
  return { outcome: await receiver.send(noticeTo(receiver), never), server };
}

for (const [kind, make] of Object.entries(RECEIVERS)) {
  test(`${kind}: what is answered with success is taken, whatever is in the answer`, async (t) => {
    for (const status of [200, 202, 204]) {
      const { outcome, server } = await sent(t, make, status);
      assert.deepEqual(outcome, { outcome: 'taken' });
      assert.equal(server.received.length, 1);
      assert.match(server.received[0]!.headers['content-type']!, /^application\/json/);
      assert.doesNotThrow(() => JSON.parse(server.received[0]!.body));
    }
    const { outcome } = await sent(t, make, { status: 200, body: 'x'.repeat(1_000_000) });
    assert.deepEqual(outcome, { outcome: 'taken' });
  });

  test(`${kind}: what another time may do away with is worth another try`, async (t) => {
    for (const [status, isAway] of [
      [500, false],
      [408, false],
      [409, false],
      [502, true],
      [503, true],
      // Whoever stands in front may not be set up yet; of Slack itself they are final.
      ...(kind === 'slack' ? [] : ([401, 403, 404] as const).map((status) => [status, true] as const)),
    ] as const) {
      const { outcome } = await sent(t, make, status);
      assert.deepEqual(outcome, {
        outcome: 'failed',
        reason: `answered ${status}: ok`,
        retryAfterMs: 0,
        isAway,
      });
    }
    const { outcome: limited } = await sent(t, make, {
      status: 429,
      headers: { 'retry-after': '30' },
      body: '',
    });
    assert.deepEqual(limited, {
      outcome: 'failed',
      reason: 'answered 429',
      retryAfterMs: 30_000,
      isAway: true,
    });
    const { outcome: endless } = await sent(t, make, {
      status: 503,
      headers: { 'retry-after': '9e9' },
      body: '',
    });
    assert.equal(endless.outcome === 'failed' && endless.retryAfterMs, 300_000);
    const { outcome: broken } = await sent(t, make, 'reset');
    assert.deepEqual([broken.outcome, broken.outcome === 'failed' && broken.isAway], ['failed', true]);
    const receiver = make('http://127.0.0.1:1');
    const nobody = await receiver.send(noticeTo(receiver), never);
    assert.equal(nobody.outcome === 'failed' && nobody.reason, 'ECONNREFUSED');
  });

  test(`${kind}: what it refuses is told apart, and why, without our secret and in one short line`, async (t) => {
    for (const status of [400, 410, 413, 422, ...(kind === 'slack' ? [401, 403, 404] : [])]) {
      const { outcome } = await sent(t, make, {
        status,
        body: `no:\n\u001b[31m${SECRET} ${'is wrong '.repeat(17)}${SECRET} ${'and so on '.repeat(20_000)}`,
      });
      assert.equal(outcome.outcome, 'refused', `${status}`);
      const reason = outcome.outcome === 'refused' ? outcome.reason : '';
      assert.match(reason, new RegExp(`^answered ${status}: no: `));
      assert.doesNotMatch(reason, /\p{Cc}/u);
      assert.ok(reason.length < 250 && !reason.includes(SECRET.slice(0, 8)), reason);
    }
  });

  test(`${kind}: no redirect is followed`, async (t) => {
    const elsewhere = await startReceiver(() => 200);
    t.after(() => elsewhere.close());
    for (const status of [301, 302, 307, 308]) {
      const { outcome } = await sent(t, make, { status, headers: { location: elsewhere.url } });
      assert.equal(outcome.outcome, 'failed');
    }
    assert.equal(elsewhere.received.length, 0);
  });

  test(`${kind}: one that hangs is let go of when this process ends`, async (t) => {
    const server = await startReceiver(() => 'hang');
    t.after(() => server.close());
    const stopping = new AbortController();
    const receiver = make(server.origin);
    const sending = receiver.send(noticeTo(receiver), stopping.signal);
    setImmediate(() => stopping.abort());
    assert.equal((await sending).outcome, 'failed');
  });

  test(`${kind}: a change of state has a key of its own, which is the same after every restart`, () => {
    const [one, again, other] = [make('https://a.example'), make('https://a.example'), alertOf('b')];
    const { firing, resolved } = { firing: alertOf('a'), resolved: alertOf('a', { state: 'resolved' }) };
    assert.equal(one.keyOf(firing), again.keyOf(firing));
    assert.equal(new Set([firing, resolved, other].map((alert) => one.keyOf(alert))).size, 3);
    const keys = Object.values(RECEIVERS).map((each) => each('https://a.example').keyOf(firing));
    assert.equal(new Set(keys).size, keys.length, 'receivers have keys of their own');
    assert.match(one.keyOf(firing), /^[0-9a-f]{32,}$/);
  });
}
