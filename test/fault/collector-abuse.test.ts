import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import pino from 'pino';
import { type Collector, type CollectorOptions, startCollector } from '../../collector/collector.ts';
import { unpacked } from '../../collector/receive/body.ts';
import { Intake } from '../../collector/receive/intake.ts';
import { WorkQueue } from '../../collector/receive/queue.ts';
import { systemClock } from '../../src/clock.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { openStore } from '../../src/store/client.ts';
import { mutations, soundRequest } from '../support/mutations.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

/** Senders that mean no good, or too well: bombs, nonsense, more than can be done, and never coming to an end. */
const MALFORMED = process.env['LOOPSCOPE_LONG'] === '1' ? 20_000 : 2_000;
const SEED = 20_261_123;
const SLOW_SOCKETS = 200;

let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
const folder = mkdtempSync(join(tmpdir(), 'loopscope-abuse-'));
before(async () => {
  clickhouse = await startTestStore();
});
after(async () => {
  await clickhouse?.close();
  rmSync(folder, { recursive: true, force: true });
});

let spools = 0;
async function start(
  t: TestContext,
  options: Partial<CollectorOptions> = {},
  settings: Partial<Config['collector']> = {},
): Promise<Collector> {
  const collector = await startCollector({
    config: { collector: { ...loadConfig(undefined, {}).collector, port: 0, grpc_port: 0, ...settings } },
    folder: join(folder, `spool-${spools++}`),
    store: clickhouse.store,
    clock: systemClock(),
    log: pino({ level: 'silent' }),
    ...options,
  });
  t.after(() => collector.close());
  return collector;
}

const TYPES = { protobuf: 'application/x-protobuf', json: 'application/json' } as const;

interface Answered {
  status: number;
  retryAfter: string | undefined;
}

const post = (url: string, type: string, body: Buffer, agent: Agent) =>
  new Promise<Answered>((resolve, reject) => {
    const options = { method: 'POST', agent, headers: { 'content-type': type } };
    const request = httpRequest(`${url}/v1/traces`, options, (response) => {
      const answered = { status: response.statusCode!, retryAfter: response.headers['retry-after'] };
      response.resume().on('end', () => resolve(answered));
    });
    request.on('error', reject).end(body);
  });

const figure = async ({ url }: Collector, name: string): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^loopscope_collector_${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
};
const rows = async () =>
  (await clickhouse.store.query<{ n: number }>('SELECT count() AS n FROM loopscope.otel_traces'))[0]!.n;

test('of a bomb no more is unpacked than shows what it is', async () => {
  const MB = 1024 * 1024;
  const zeros = Buffer.alloc(16 * MB);
  for (const [encoding, body] of [
    ['gzip', gzipSync(zeros)],
    ['deflate', deflateSync(zeros)],
    ['zstd', zstdCompressSync(zeros)],
  ] as const) {
    const intake = new Intake({ clock: systemClock(), pendingBytesMax: 1024 * MB });
    async function* pieces() {
      for (let from = 0; from < body.length; from += 64 * 1024) yield body.subarray(from, from + 64 * 1024);
    }
    const incoming = intake.open(body.length, true, () => {});
    await assert.rejects(unpacked(pieces(), encoding, 64 * MB, incoming), (error) => {
      assert.ok(error instanceof LoopscopeError && error.code === 'body_too_large');
      return /200 times/.test(error.message);
    });
    const { bytes } = intake.pending;
    assert.ok(bytes < 32 * MB, `${encoding}: ${bytes} bytes were held`);
    incoming.arrival.over();
  }
});

test('malformed requests over HTTP: every one is answered, and what is taken is what ClickHouse has', async (t) => {
  const collector = await start(t);
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  t.after(() => agent.destroy());
  const before = await rows();
  const counts: Record<number, number> = {};
  for (const encoding of ['protobuf', 'json'] as const) {
    const next = mutations(SEED, encoding);
    for (let n = 0; n < MALFORMED / 2; n += 8)
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          const { status } = await post(collector.url, TYPES[encoding], next(), agent);
          counts[status] = (counts[status] ?? 0) + 1;
        }),
      );
  }
  t.diagnostic(JSON.stringify(counts));
  assert.deepEqual(
    Object.keys(counts).filter((status) => !['200', '400', '413'].includes(status)),
    [],
    JSON.stringify(counts),
  );
  await collector.flush();
  const metrics = await (await fetch(`${collector.url}/metrics`)).text();
  assert.doesNotMatch(metrics, /set_aside_total\{[^}]*\} [1-9]/, 'ClickHouse took every block');
  const acknowledged = await figure(collector, 'acknowledged_spans_total');
  assert.ok(acknowledged > 0);
  assert.equal((await rows()) - before, acknowledged);
});

test('the newest are shed while others wait, are told when to come again, and cost those that were taken nothing', async (t) => {
  // Whatever waits is too much. Sender and collector share one event loop and the connections are open, so that all
  // requests are there in one turn.
  const collector = await start(t, { queueMsMax: 0 });
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  await Promise.all(
    Array.from({ length: 40 }, () => post(collector.url, 'text/plain', Buffer.alloc(0), agent)),
  );
  const before = await rows();
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, n) =>
      post(collector.url, TYPES.protobuf, soundRequest('protobuf', 4 * n), agent),
    ),
  );
  const taken = answers.filter(({ status }) => status === 200).length;
  const shed = answers.filter(({ status }) => status === 503);
  assert.ok(taken > 0, 'some are served');
  assert.ok(shed.length > 0, 'some are shed');
  assert.equal(taken + shed.length, answers.length);
  for (const { retryAfter } of shed) assert.match(retryAfter!, /^[1-4]$/);
  assert.ok(new Set(shed.map(({ retryAfter }) => retryAfter)).size > 1, 'they do not come back together');
  await collector.flush();
  assert.equal(
    (await rows()) - before,
    taken,
    'a request of one span each: those that were taken, and no other',
  );
  assert.equal((await post(collector.url, TYPES.protobuf, soundRequest('protobuf', 400), agent)).status, 200);
});

test('a sender whose long body nobody reads gets its answer all the same, and is served when it comes again', async (t) => {
  const collector = await start(t, { queueMsMax: 0 });
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const long = Buffer.concat(Array.from({ length: 600 }, (_, n) => soundRequest('protobuf', 10_000 + n)));
  const bodies = Array.from({ length: 20 }, (_, i) =>
    Buffer.concat([long, soundRequest('protobuf', 20_000 + i)]),
  );
  const statuses = await Promise.all(
    bodies.map(async (body) => (await post(collector.url, TYPES.protobuf, body, agent)).status),
  );
  assert.deepEqual([...new Set(statuses)].sort(), [200, 503]);
  for (const body of bodies)
    await until('the body to be taken', async () => {
      const { status } = await post(collector.url, TYPES.protobuf, body, agent);
      return status === 200;
    });
});

test('the queue knows from what a byte cost how long a newcomer would wait', async () => {
  let nowMs = 0;
  const clock = { nowNs: () => BigInt(Math.round(nowMs * 1e6)) };
  const queue = new WorkQueue({ clock, waitMsMax: 500 });
  const order: number[] = [];
  const work = (n: number) => async () => {
    nowMs += 100; // a tenth of a second for 100 kB
    order.push(n);
  };
  await Promise.all(Array.from({ length: 50 }, (_, n) => queue.run(98_000, work(n))));
  assert.deepEqual(
    order,
    [...order].sort((a, b) => a - b),
    'first come, first served',
  );
  assert.equal(queue.waitMs(), 0);
  const waiting: Promise<void>[] = [];
  while (queue.waitMs() <= queue.waitMsMax) waiting.push(queue.run(98_000, work(0)));
  assert.ok(waiting.length >= 5 && waiting.length <= 7, `${waiting.length} of 100 ms each within 500 ms`);
  await Promise.all(waiting);
  assert.equal(queue.waitMs(), 0);
  await assert.rejects(
    queue.run(1, async () => {
      throw new Error('a bug');
    }),
    /a bug/,
  );
  assert.equal(queue.waitMs(), 0, 'a failure takes its place in the queue with it');
});

test('beside senders that never come to an end an honest one is served, and those hold what they sent and no more', async (t) => {
  const collector = await start(t);
  const { port, hostname } = new URL(collector.url);
  const sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  const head = `POST /v1/traces HTTP/1.1\r\nhost: slow\r\ncontent-type: ${TYPES.protobuf}\r\n`;
  for (let n = 0; n < SLOW_SOCKETS; n++) {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    socket.write(n % 2 === 0 ? `${head}x-slow: ` : `${head}content-length: 60000000\r\n\r\n`);
    sockets.push(socket);
  }
  const drip = setInterval(() => {
    for (const socket of sockets) if (socket.writable) socket.write('x');
  }, 100);
  t.after(() => clearInterval(drip));
  await until('the slow bodies to arrive', async () => (await figure(collector, 'pending_bytes')) > 0);
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  for (let n = 0; n < 20; n++)
    assert.equal((await post(collector.url, TYPES.protobuf, soundRequest('protobuf', n), agent)).status, 200);
  assert.ok((await figure(collector, 'pending_bytes')) < 1_000_000, 'announced bytes are not held');
  await until(
    'heads that do not end to be cut off',
    () => sockets.some((socket) => socket.destroyed),
    30_000,
  );
});

test('bodies that stop in the middle lose their memory, and keep nobody out for long', async (t) => {
  const collector = await start(t, { pendingBytesMax: 4_000_000 });
  const { port, hostname } = new URL(collector.url);
  const head = `POST /v1/traces HTTP/1.1\r\nhost: slow\r\ncontent-type: ${TYPES.protobuf}\r\ncontent-length: 200000\r\n\r\n`;
  let cutOff = 0;
  const stalled = Array.from({ length: 60 }, () => {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    socket.on('close', () => cutOff++);
    socket.resume().write(Buffer.concat([Buffer.from(head), Buffer.alloc(100_000)]));
    return socket;
  });
  t.after(() => {
    for (const socket of stalled) socket.destroy();
  });
  await until('memory to be short', async () => (await figure(collector, 'pending_bytes')) > 3_000_000);
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const status = async () =>
    (await post(collector.url, TYPES.protobuf, soundRequest('protobuf', 1), agent)).status;
  assert.equal(await status(), 503, 'newcomers are refused before those under way');
  await until('an honest sender to be served', async () => (await status()) === 200, 20_000);
  await until('the others to be cut off', () => cutOff === stalled.length, 20_000);
  assert.equal(await figure(collector, 'pending_bytes'), 0);
  assert.ok((await figure(collector, 'requests_total\\{status="408"\\}')) >= 30, 'and that is counted');
});

test('a spool that is full refuses by the head, before anything is decoded', async (t) => {
  const { spool } = loadConfig(undefined, {}).collector;
  const away = openStore({ url: 'http://127.0.0.1:9' });
  t.after(() => away.close());
  const collector = await start(t, { store: away }, { spool: { ...spool, bytes_max: 1_000_000 } });
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  let n = 0;
  const send = async (requests: number) => {
    const body = Buffer.concat(Array.from({ length: requests }, () => soundRequest('protobuf', n++)));
    return (await post(collector.url, TYPES.protobuf, body, agent)).status;
  };
  for (const requests of [200, 50, 10, 1])
    await until(`${requests} to find no room`, async () => (await send(requests)) === 503);
  const senseless = await post(collector.url, TYPES.protobuf, Buffer.from('this is no request'), agent);
  assert.equal(senseless.status, 503, 'and not 400, which it takes decoding to know');
});
