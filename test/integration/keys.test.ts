import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { createKey, listKeys, openKeyRing, revokeKey, secretHash } from '../../src/registry/keys.ts';
import { openStore, type Store } from '../../src/store/client.ts';
import { inFolder, runCli } from '../support/cli.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
const clock = systemClock();

before(async () => {
  server = await startTestStore();
});
after(() => server.close());

/** A store that counts its queries and can be cut off. */
function watched(store: Store): Store & { queries: number; away: boolean } {
  return {
    ...store,
    queries: 0,
    away: false,
    async query<Row>(sql: string, params?: Record<string, unknown>) {
      this.queries++;
      if (this.away) throw new LoopscopeError('store_unavailable', 'cut off by the test');
      return store.query<Row>(sql, params);
    },
  };
}

/** As the system's clock, but the ring's background refresh never comes. */
const withoutBackground: Clock = {
  ...clock,
  sleep: (ms, signal) =>
    ms === 2_000 && signal
      ? new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      : clock.sleep(ms, signal),
};

test('a secret is stored as its SHA-256 and nothing else', async () => {
  const { keyId, secret } = await createKey(server.store, clock, { loop: 'primes', agent: 'maker' });
  assert.match(secret, /^lsk_[A-Za-z0-9_-]{43}$/);
  const rows = await server.store.query<object>('SELECT * FROM loopscope.virtual_keys');
  assert.ok(!JSON.stringify(rows).includes(secret.slice(4)));
  const key = (await listKeys(server.store)).find((k) => k.keyId === keyId);
  assert.deepEqual(
    [key?.hash, key?.loop, key?.agent, key?.revoked, key?.revokedAt],
    [secretHash(secret), 'primes', 'maker', false, null],
  );
});

test('no two keys have the same id or secret', async () => {
  const keys = await Promise.all(
    Array.from({ length: 10 }, () => createKey(server.store, clock, { loop: 'many' })),
  );
  assert.equal(new Set(keys.flatMap((k) => [k.keyId, k.secret])).size, 20);
});

test('a revoked key stays revoked, and an unknown one cannot be revoked', async () => {
  const { keyId } = await createKey(server.store, clock, { loop: 'primes' });
  assert.equal((await revokeKey(server.store, clock, keyId)).revoked, true);
  assert.equal((await revokeKey(server.store, clock, keyId)).revoked, true);
  const key = (await listKeys(server.store)).find((k) => k.keyId === keyId);
  assert.ok(key?.revoked && key.revokedAt! >= key.createdAt);
  await assert.rejects(revokeKey(server.store, clock, 'key_nope'), { code: 'not_found' });
});

test('the ring knows a key that was made after it opened, and a stranger from both', async () => {
  const ring = openKeyRing(server.store, withoutBackground);
  try {
    assert.equal(await ring.find('lsk_stranger'), 'unknown');
    const { keyId, secret } = await createKey(server.store, clock, { loop: 'fresh', agent: 'maker' });
    assert.deepEqual(await ring.find(secret), { keyId, loop: 'fresh', agent: 'maker' });
    assert.equal(await ring.find(`${secret}x`), 'unknown');
  } finally {
    ring.close();
  }
});

test('revoking reaches an open ring within its refresh', async () => {
  const { keyId, secret } = await createKey(server.store, clock, { loop: 'ending' });
  const ring = openKeyRing(server.store, clock);
  try {
    assert.equal(typeof (await ring.find(secret)), 'object');
    await revokeKey(server.store, clock, keyId);
    await until('the ring sees it', async () => (await ring.find(secret)) === 'revoked', 4_000);
  } finally {
    ring.close();
  }
});

test('strangers with unknown secrets share reads, at most four a second', async () => {
  const store = watched(server.store);
  const ring = openKeyRing(store, withoutBackground);
  try {
    await ring.find('lsk_first');
    const before = store.queries;
    const started = performance.now();
    await Promise.all(Array.from({ length: 200 }, (_, i) => ring.find(`lsk_${i}`)));
    await Promise.all(Array.from({ length: 200 }, (_, i) => ring.find(`lsk_again_${i}`)));
    const seconds = (performance.now() - started) / 1000;
    assert.ok(
      store.queries - before <= Math.ceil(seconds * 4) + 1,
      `${store.queries - before} in ${seconds} s`,
    );
  } finally {
    ring.close();
  }
});

test('with ClickHouse away the last snapshot stays in force, and costs no query', async () => {
  const { keyId, secret } = await createKey(server.store, clock, { loop: 'steady' });
  const store = watched(server.store);
  const ring = openKeyRing(store, withoutBackground);
  try {
    await ring.find(secret);
    store.away = true;
    const before = store.queries;
    assert.deepEqual(await ring.find(secret), { keyId, loop: 'steady', agent: '' });
    assert.equal(store.queries, before);
    assert.equal(await ring.find('lsk_stranger'), 'unknown');
  } finally {
    ring.close();
  }
});

test('a ring that never reached ClickHouse says so instead of refusing good keys', async () => {
  const store = openStore({ url: 'http://127.0.0.1:1' });
  const ring = openKeyRing(store, clock);
  try {
    await assert.rejects(async () => ring.find('lsk_any'), { code: 'store_unavailable' });
  } finally {
    ring.close();
    await store.close();
  }
});

test('keys create shows the secret once, on stdout alone; list never does; revoke ends it', () =>
  inFolder(async (folder) => {
    const config = join(folder, 'loopscope.yaml');
    writeFileSync(config, `clickhouse: { url: "${server.url}" }\n`);
    const cli = (...argv: string[]) => runCli([...argv, '--config', config]);

    const made = await cli('keys', 'create', '--loop', 'cli-loop', '--agent', 'maker');
    assert.equal(made.code, 0);
    assert.match(made.stdout, /^lsk_[A-Za-z0-9_-]{43}\n$/);
    assert.match(made.stderr, /not in loops\//);
    const json = JSON.parse((await cli('keys', 'create', '--loop', 'cli-loop', '--json')).stdout);
    assert.deepEqual([json.loop, json.agent, json.secret.slice(0, 4)], ['cli-loop', null, 'lsk_']);

    const listed = await cli('keys', 'list', '--json');
    assert.ok(!listed.stdout.includes(json.secret));
    const mine = JSON.parse(listed.stdout).keys.filter((k: { loop: string }) => k.loop === 'cli-loop');
    assert.deepEqual(
      mine.map((k: { state: string }) => k.state),
      ['active', 'active'],
    );

    assert.equal((await cli('keys', 'revoke', json.key_id)).code, 0);
    assert.match(
      (await cli('keys', 'list')).stdout,
      new RegExp(`^${json.key_id} +cli-loop +any .*revoked`, 'm'),
    );
    assert.equal((await cli('keys', 'revoke', 'key_nope')).code, 1);
    assert.equal((await cli('keys', 'create')).code, 2);
    assert.equal((await cli('keys', 'create', '--loop', 'no good')).code, 2);
  }));
