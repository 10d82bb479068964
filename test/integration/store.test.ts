import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import type { LoopscopeError } from '../../src/errors.ts';
import { openStore, type Store } from '../../src/store/client.ts';
import { startTestStore } from '../support/store.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
let store: Store;
before(async () => {
  server = await startTestStore();
  store = server.store;
});
after(() => server.close());

const refusal = (code: string, message: RegExp) => (error: LoopscopeError) => {
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  assert.doesNotMatch(error.message, /\n/);
  return true;
};

test('the embedded server answers, /ping too', async () => {
  assert.equal(await store.ping(), true);
  const response = await fetch(`${server.url}/ping`);
  assert.equal(await response.text(), 'Ok.\n');
});

/** Status of a POST of `SELECT 1` with these headers; `fetch` would not let us set them. */
const post = (headers: Record<string, string>) =>
  new Promise<number>((resolve, reject) => {
    request(server.url, { method: 'POST', headers }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode!));
    })
      .on('error', reject)
      .end('SELECT 1');
  });

test('a web page cannot reach the embedded server, neither across origins nor by rebinding its name', async () => {
  const { host, port } = new URL(server.url);
  assert.equal(await post({ host }), 200);
  assert.equal(await post({ host: `localhost:${port}` }), 200);
  assert.equal(await post({ host, origin: 'https://evil.example' }), 403);
  assert.equal(await post({ host, origin: 'null' }), 403);
  assert.equal(await post({ host: `evil.example:${port}` }), 404);
  assert.equal(await post({ host: `localhost.evil.example:${port}` }), 404);
});

test('no table function, engine or backup of the embedded server reaches files or other servers', async () => {
  // Its working folder is gone, and no path can be looked up from there.
  for (const sql of [
    `SELECT * FROM file('/etc/hostname', LineAsString)`,
    `INSERT INTO FUNCTION file('/tmp/loopscope-never', LineAsString) SELECT 'x'`,
    `SELECT * FROM default.\`/etc/hostname\``,
  ])
    await assert.rejects(store.command(sql), /getcwd failed|ACCESS_DENIED/, sql);
  for (const sql of [
    `SELECT * FROM url('${server.url}', LineAsString)`,
    `SELECT * FROM remote('127.0.0.1', system.one)`,
    `CREATE TABLE loopscope.f (a String) ENGINE = File(LineAsString, '/etc/hostname')`,
    `CREATE TABLE loopscope.u (a String) ENGINE = URL('${server.url}', LineAsString)`,
    'SYSTEM SHUTDOWN',
  ])
    await assert.rejects(store.command(sql), refusal('store_rejected', /ACCESS_DENIED/), sql);
  for (const sql of [
    `BACKUP DATABASE loopscope TO File('/tmp/loopscope-never')`,
    `BACKUP DATABASE loopscope TO Disk('backups', '../never')`,
  ])
    await assert.rejects(
      store.command(sql),
      refusal('store_rejected', /allowed_path|inside the specified disk/),
      sql,
    );
});

test('times keep their nanoseconds, as text without a zone (UTC) and as ISO 8601', async () => {
  await store.insert('otel_traces', [
    {
      TraceId: 'plain',
      Timestamp: '2026-01-01 00:00:00.123456789',
      'Events.Timestamp': ['2026-01-01 00:00:00.5'],
      'Events.Name': ['e'],
      'Events.Attributes': [{}],
    },
    { TraceId: 'iso', Timestamp: '2026-01-01T00:00:00.123456789Z' },
  ]);
  assert.deepEqual(
    await store.query(
      `SELECT TraceId, Timestamp, Events.Timestamp AS events, toUnixTimestamp64Nano(Timestamp) % 1000000000 AS ns
       FROM loopscope.otel_traces WHERE TraceId IN ('plain', 'iso') ORDER BY TraceId`,
    ),
    [
      { TraceId: 'iso', Timestamp: '2026-01-01 00:00:00.123456789', events: [], ns: 123456789 },
      {
        TraceId: 'plain',
        Timestamp: '2026-01-01 00:00:00.123456789',
        events: ['2026-01-01 00:00:00.500000000'],
        ns: 123456789,
      },
    ],
  );
});

test('values reach SQL as parameters, whatever is in them', async () => {
  const nasty = `x' OR 1=1 --\n\t\\ {a:String} é "`;
  const rows = await store.query(
    'SELECT {a:String} AS a, {n:Nullable(String)} AS n, {l:Array(String)} AS l',
    {
      a: nasty,
      n: null,
      l: [nasty, ''],
    },
  );
  assert.deepEqual(rows, [{ a: nasty, n: null, l: [nasty, ''] }]);
});

test('a misspelt column is refused, not dropped', async () => {
  await assert.rejects(
    store.insert('alerts', [{ alertid: 'x' }]),
    refusal('store_rejected', /insert into alerts.*alertid/),
  );
});

test('a wrong query is rejected for good', async () => {
  await assert.rejects(
    store.query('SELECT nothing FROM nowhere'),
    refusal('store_rejected', /UNKNOWN_TABLE/),
  );
});

test('a query that fails after its first rows gives an error, never the rows so far', async () => {
  await assert.rejects(
    store.query(
      `SELECT number, throwIf(number = 500000, 'too far') FROM numbers(1000000)
       SETTINGS max_block_size = 1000, max_threads = 1`,
    ),
    refusal('store_rejected', /too far/),
  );
});

test('an insert of no rows is nothing to do', async () => {
  await store.insert('no_such_table', []);
});

test('a server that is not there is unavailable, and worth another try', async () => {
  const nobody = openStore({ url: 'http://127.0.0.1:1' });
  assert.equal(await nobody.ping(), false);
  await assert.rejects(nobody.query('SELECT 1'), (error: LoopscopeError) => {
    assert.equal(error.retryable, true);
    return refusal('store_unavailable', /http:\/\/127\.0\.0\.1:1 does not answer.*loopscope up/)(error);
  });
  await nobody.close();
});
