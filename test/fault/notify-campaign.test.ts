import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pino from 'pino';
import { createMetrics } from '../../evals/metrics.ts';
import { createNotifications } from '../../evals/notify/notify.ts';
import { seededRandom } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { type Alert, appendAlert } from '../../src/store/alerts.ts';
import type { Store } from '../../src/store/client.ts';
import { alertOf, alertSettings, CAUSE, fastClock } from '../support/notify.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';
import { type Answer, startReceiver } from '../support/webhook-receiver.ts';

/**
 * Receivers that fail at random and a process that is restarted at random, also between a receiver's answer and the note
 * of it: at the end each receiver has been told each change at least once, in order, and the same change under the same
 * key.
 */
const SEEDS = process.env['LOOPSCOPE_LONG'] ? 40 : 2;
const SPEED = 100;
const LIVES = 4;
const ALERTS = 5;
const WAIT_MS = 60_000;
const log = pino({ level: 'silent' });

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

/** Nothing is given up here: receivers do not refuse, they fail. */
const FAULTS: readonly Answer[] = [
  500,
  503,
  429,
  404,
  'reset',
  { status: 503, headers: { 'retry-after': '2' } },
];

/** What each kind of receiver was told, read from what it took: alert, state and what it is recognised by. */
const READ: Record<string, (body: string, key: string) => { loop: string; state: string; key: string }[]> = {
  hook: (body, key) => {
    const { alert } = JSON.parse(body) as { alert: Alert };
    return [{ loop: alert.loop, state: alert.state, key }];
  },
  am: (body) =>
    (JSON.parse(body) as { labels: Record<string, string>; startsAt: string; endsAt: string }[]).map(
      ({ labels, endsAt, startsAt }) => ({
        loop: labels['loop']!,
        state: Date.parse(endsAt) - Date.parse(startsAt) < 290_000 ? 'resolved' : 'firing',
        key: JSON.stringify(labels),
      }),
    ),
  oncall: (body) => {
    const event = JSON.parse(body) as {
      event_action: string;
      dedup_key: string;
      payload?: { custom_details: { alerts: { loop: string }[] } };
    };
    return (event.payload?.custom_details.alerts ?? [{ loop: 'all' }]).map(({ loop }) => ({
      loop,
      state: event.event_action === 'trigger' ? 'firing' : 'resolved',
      key: event.dedup_key,
    }));
  },
};

async function campaign(seed: number): Promise<void> {
  const random = seededRandom(seed);
  const clock = fastClock(SPEED);
  let isWell = false;
  const answer = (): Answer =>
    !isWell && random() < 0.5 ? FAULTS[Math.floor(random() * FAULTS.length)]! : 200;
  const [hook, am, oncall] = await Promise.all([0, 1, 2].map(() => startReceiver(answer)));
  let isMortal = false;
  const store = {
    ...server.store,
    insert: async (table: string, ...rest: [readonly object[], string?]) => {
      if (isMortal && random() < 0.3)
        throw new LoopscopeError('store_unavailable', 'died before it was noted');
      await server.store.insert(table, ...rest);
    },
  } as Store;
  const settings = alertSettings(
    {
      receivers: {
        hook: { type: 'webhook', url: `${hook!.origin}/${seed}` },
        am: { type: 'alertmanager', urls: [`${am!.origin}/${seed}`] },
        oncall: { type: 'pagerduty', routing_key_env: 'PD', url: oncall!.origin },
      },
      routes: [{ loop: `c${seed}-*`, receivers: ['hook', 'am', 'oncall'] }],
      default: [],
      group_wait_s: 1,
      group_interval_s: 2,
    },
    { PD: 'k'.repeat(32) },
  );
  const change = async (i: number, state: Alert['state']) => {
    const at = clock.now();
    const loop = `c${seed}-${i}`;
    const started_at = new Date(at).toISOString();
    const evidence = { ...alertOf(loop).evidence, recovered_at: started_at };
    const alert = {
      ...alertOf(loop),
      alert_id: `campaign-${loop}`,
      started_at,
      // What later runs show of the cause stands with the end.
      cause: state === 'firing' ? CAUSE : { ...CAUSE, to: 'another' },
      state,
      evidence,
    };
    await appendAlert(server.store, { alert, at });
  };
  const start = () => {
    const stopping = new AbortController();
    const telling = createNotifications({
      store,
      settings,
      loopOf: () => undefined,
      clock,
      metrics: createMetrics(),
      log,
      signal: stopping.signal,
      isTeller: () => true,
    });
    const running = telling.run();
    return {
      ...telling,
      stop: async () => {
        stopping.abort();
        await running;
      },
    };
  };
  try {
    isMortal = true;
    for (let life = 0; life < LIVES; life++) {
      const process = start();
      for (let i = 0; i < ALERTS; i++) {
        if (life === i % 2) await change(i, 'firing');
        if (life === 2 + (i % 2)) await change(i, 'resolved');
        await clock.sleep(random() * 3_000);
      }
      await process.stop();
    }
    isMortal = false;
    isWell = true;
    const last = start();
    await until('all is told', async () => (await last.pending()) === 0, WAIT_MS);
    await last.stop();

    for (const [name, receiver] of Object.entries({ hook: hook!, am: am!, oncall: oncall! })) {
      const told = receiver
        .taken()
        .flatMap(({ body, headers }) => READ[name]!(body, String(headers['idempotency-key'])));
      const order = told.map(({ loop, state }) => `${loop} ${state}`);
      for (let i = 0; i < ALERTS; i++) {
        const [firing, resolved] = [`c${seed}-${i} firing`, `c${seed}-${i} resolved`];
        assert.ok(order.includes(firing), `${name}: ${firing}`);
        if (name === 'oncall') continue;
        assert.ok(order.includes(resolved), `${name}: ${resolved}`);
        assert.ok(order.indexOf(firing) < order.indexOf(resolved), `${name}: ${firing} comes first`);
      }
      if (name === 'oncall') {
        const open = new Set<string>();
        for (const { state, key } of told) state === 'firing' ? open.add(key) : open.delete(key);
        assert.deepEqual([...open], [], 'every incident is resolved');
        continue;
      }
      const keys = Map.groupBy(told, ({ loop, state }) => `${loop} ${name === 'hook' ? state : ''}`);
      for (const [what, each] of keys)
        assert.equal(new Set(each.map(({ key }) => key)).size, 1, `${name}: ${what} has one key`);
    }
  } finally {
    await Promise.all([hook, am, oncall].map((receiver) => receiver!.close()));
  }
}

for (let seed = 1; seed <= SEEDS; seed++)
  test(`whatever fails when, every receiver is told all (seed ${seed})`, () => campaign(seed));
