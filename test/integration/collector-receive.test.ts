import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { type Logger, pino } from 'pino';
import { type Collector, startCollector } from '../../collector/collector.ts';
import { systemClock } from '../../src/clock.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { deliverToCollector } from '../../src/gateway/record/deliver.ts';
import { postSpans } from '../../src/records/post.ts';
import { startTestStore } from '../support/store.ts';

/** OTLP over HTTP as its specification has it: https://opentelemetry.io/docs/specs/otlp/#otlphttp */
const JSON_TYPE = { 'content-type': 'application/json' };
const PROTOBUF_TYPE = { 'content-type': 'application/x-protobuf' };
const PATHS = ['/v1/traces', '/v1/logs', '/v1/metrics'];
const TOKEN = 'only-for-this-test';

let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
const folder = mkdtempSync(join(tmpdir(), 'loopscope-receive-'));
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
  collector: Partial<Config['collector']> = {},
  log: Logger = pino({ level: 'silent' }),
): Promise<Collector> {
  const started = await startCollector({
    config: { collector: { ...loadConfig(undefined, {}).collector, port: 0, grpc_port: 0, ...collector } },
    folder: join(folder, `spool-${spools++}`),
    store: clickhouse.store,
    clock: systemClock(),
    log,
  });
  t.after(() => started.close());
  return started;
}

interface Answered {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
  continued: boolean;
}

interface Sending {
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  agent?: Agent;
  ca?: string;
}

/** One request, with a body that waits to be asked for where the headers expect that. */
function send(url: string, { method = 'POST', path = '/v1/traces', body = '', ...rest }: Sending) {
  return new Promise<Answered>((resolve, reject) => {
    const options = { method, agent: false, ...rest } as const;
    const request = (url.startsWith('https') ? httpsRequest : httpRequest)(`${url}${path}`, options);
    let continued = false;
    request.on('response', async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
      const { statusCode: status = 0, headers } = response;
      resolve({ status, headers, body: Buffer.concat(chunks).toString(), continued });
      request.destroy();
    });
    request.on('error', reject);
    if (rest.headers?.['expect'] === undefined) request.end(body);
    else {
      request.flushHeaders();
      request.on('continue', () => {
        continued = true;
        request.end(body);
      });
    }
  });
}

let ids = 0;
const spanRequest = () => ({
  resourceSpans: [
    {
      scopeSpans: [
        {
          spans: [
            {
              traceId: (++ids).toString(16).padStart(32, 'a'),
              spanId: ids.toString(16).padStart(16, 'b'),
              name: 'received',
              startTimeUnixNano: '1687856400123456789',
              endTimeUnixNano: '1687856401123456789',
            },
          ],
        },
      ],
    },
  ],
});

const spansStored = async (collector: Collector) => {
  await collector.flush();
  const [row] = await clickhouse.store.query<{ n: number }>('SELECT count() AS n FROM loopscope.otel_traces');
  return row!.n;
};

test('the three paths take POST alone; what they refuse is said in a Status, and the others are not there', async (t) => {
  const { url } = await start(t);
  for (const path of PATHS) {
    for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
      const { status, headers, body } = await send(url, { path, method });
      assert.deepEqual([status, headers.allow], [405, 'POST'], `${method} ${path}`);
      assert.match((JSON.parse(body) as { message: string }).message, new RegExp(method));
    }
    const { status, headers, body } = await send(url, { path, method: 'HEAD' });
    assert.deepEqual([status, headers.allow, body], [405, 'POST', '']);
    const untyped = await send(url, { path, headers: { 'content-type': 'text/plain' }, body: '{}' });
    assert.equal(untyped.status, 415);
    assert.equal(untyped.headers['retry-after'], undefined);
  }
  for (const path of ['/', '/v1/profiles', '/v1/traces/', '/v1'])
    assert.equal((await send(url, { path, headers: JSON_TYPE, body: '{}' })).status, 404, path);
  const query = await send(url, { path: '/v1/traces?a=b', headers: JSON_TYPE, body: '{}' });
  assert.deepEqual([query.status, query.body], [200, '{}']);
});

test('one connection carries request after request, the refused ones too', async (t) => {
  const { url } = await start(t);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  let opened = 0;
  const open = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) => {
    opened++;
    return open(options, callback);
  };
  const statuses: number[] = [];
  const post = (headers: Record<string, string>, body: string | Buffer) =>
    fetchWith(agent, url, headers, body).then((status) => statuses.push(status));
  await post(JSON_TYPE, JSON.stringify(spanRequest()));
  await post(JSON_TYPE, '{"resourceSpans": 7}');
  await post({ 'content-type': 'text/plain' }, 'x'.repeat(300_000));
  await post(PROTOBUF_TYPE, Buffer.alloc(0));
  assert.deepEqual(statuses, [200, 400, 415, 200]);
  assert.equal(opened, 1);
});

function fetchWith(agent: Agent, url: string, headers: Record<string, string>, body: string | Buffer) {
  return new Promise<number>((resolve, reject) => {
    const request = httpRequest(`${url}/v1/traces`, { method: 'POST', agent, headers }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode!));
    });
    request.on('error', reject).end(body);
  });
}

test('a sender that waits to be told to go on is told, or refused before it sent anything', async (t) => {
  const { url } = await start(t, { token_env: 'T', token: TOKEN });
  const expect = { expect: '100-continue', ...JSON_TYPE };
  const authorization = `Bearer ${TOKEN}`;
  const body = JSON.stringify(spanRequest());
  const taken = await send(url, { headers: { ...expect, authorization }, body });
  assert.deepEqual([taken.status, taken.continued], [200, true]);
  const refused = await send(url, { headers: expect, body });
  assert.deepEqual([refused.status, refused.continued], [401, false]);
  assert.equal(refused.headers.connection, 'close', 'nobody knows whether its body follows');
});

test('zstd is taken as gzip is; more than one encoding, and bytes after the end of one, are refused in words', async (t) => {
  const collector = await start(t);
  const { url } = collector;
  const before = await spansStored(collector);
  const post = (encoding: string, body: Buffer) =>
    send(url, { headers: { ...JSON_TYPE, 'content-encoding': encoding }, body });
  const json = () => JSON.stringify(spanRequest());
  for (const body of [zstdCompressSync(json()), zstdCompressSync(json())])
    assert.equal((await post('zstd', body)).status, 200);
  assert.equal((await post('GZIP', gzipSync(json()))).status, 200);
  assert.equal(await spansStored(collector), before + 3);

  for (const encodings of ['gzip, gzip', 'gzip,zstd', 'gzip, identity']) {
    const twice = await post(encodings, gzipSync(gzipSync(json())));
    assert.equal(twice.status, 415);
    assert.match(twice.body, /only one/);
  }
  assert.equal((await post('gzip', gzipSync(gzipSync(json())))).status, 400);
  for (const [encoding, packed] of [
    ['zstd', zstdCompressSync(json())],
    ['gzip', gzipSync(json())],
  ] as const) {
    assert.equal((await post(encoding, packed.subarray(0, -4))).status, 400, `${encoding}, cut`);
    assert.equal((await post(encoding, Buffer.from(json()))).status, 400, `no ${encoding}`);
    const more = await post(encoding, Buffer.concat([packed, packed, Buffer.from('more')]));
    assert.equal(more.status, 400, `${encoding}, and more`);
  }
  assert.equal(await spansStored(collector), before + 3, 'nothing of what was refused is stored');
});

test('with a token only who shows it may send; health, readiness and figures stay open', async (t) => {
  const lines: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line) => lines.push(line) });
  const { url } = await start(t, { token_env: 'LOOPSCOPE_TOKEN', token: TOKEN }, log);
  const post = (authorization: string | undefined, path = '/v1/traces') =>
    send(url, { path, headers: { ...PROTOBUF_TYPE, ...(authorization && { authorization }) } });
  assert.equal((await post(`Bearer ${TOKEN}`)).status, 200);
  assert.equal((await post(`bearer  ${TOKEN}`)).status, 200, 'the scheme is written as one likes');
  for (const path of PATHS)
    for (const wrong of [undefined, '', 'Bearer', `Bearer ${TOKEN}x`, `Basic ${TOKEN}`, TOKEN]) {
      const { status, headers, body } = await post(wrong, path);
      assert.equal(status, 401, `${wrong}`);
      assert.equal(headers['www-authenticate'], 'Bearer');
      assert.equal(headers['content-type'], 'application/x-protobuf');
      assert.equal(Buffer.from(body)[1], 16, 'UNAUTHENTICATED');
    }
  for (const path of ['/healthz', '/readyz', '/metrics'])
    assert.equal((await send(url, { path, method: 'GET' })).status, 200);
  assert.ok(lines.length > 0);
  assert.doesNotMatch(lines.join(''), new RegExp(TOKEN));

  await assert.rejects(start(t, { token_env: 'LOOPSCOPE_TOKEN', token: undefined }), (error) => {
    assert.ok(error instanceof LoopscopeError && error.code === 'config_invalid');
    return /has no LOOPSCOPE_TOKEN/.test(error.message);
  });
  const config = loadConfigOf('collector: { token_env: TOKEN_OF_OURS }', { TOKEN_OF_OURS: TOKEN });
  assert.equal(config.collector.token, TOKEN);
});

test('the gateway and an import show the token', async (t) => {
  const { url } = await start(t, { token_env: 'T', token: TOKEN });
  const outcome = async (token?: string) => {
    const line = deliverToCollector({ url, token }, { delivered: 0, failed: 0, rejected: 0 });
    t.after(() => line.close());
    const insert = { table: 'otel_traces', format: 'OTLP', rows: 0, bodies: [], token: 'none' };
    return (await line.deliver(insert, false)).kind;
  };
  assert.equal(await outcome(TOKEN), 'stored');
  assert.equal(await outcome(), 'unavailable', 'what is missing may be set right');
  const options = { collectorUrl: url, clock: systemClock() };
  assert.equal(await postSpans('{}', { ...options, token: TOKEN }), undefined);
  await assert.rejects(postSpans('{}', options), /401 .*token/);
});

test('with a certificate the collector speaks TLS; files that are not there or not PEM are named', async (t) => {
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const args = '-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost';
  execFileSync(
    'openssl',
    ['req', ...args.split(' '), '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert],
    { stdio: 'pipe' },
  );
  const config = loadConfigOf('collector: { tls: { cert_file: cert.pem, key_file: key.pem } }');
  assert.deepEqual(config.collector.tls, { cert_file: cert, key_file: key });
  const collector = await start(t, { tls: config.collector.tls });
  assert.match(collector.url, /^https:/);
  const ca = readFileSync(cert, 'utf8');
  const before = await spansStored(collector);
  const body = JSON.stringify(spanRequest());
  const { status } = await send(collector.url, { headers: JSON_TYPE, body, ca });
  assert.equal(status, 200);
  assert.equal(await spansStored(collector), before + 1);
  await assert.rejects(send(collector.url.replace('https', 'http'), { headers: JSON_TYPE, body }));

  const text = join(folder, 'no.pem');
  writeFileSync(text, 'this is no certificate');
  for (const [tls, said] of [
    [{ cert_file: join(folder, 'absent.pem'), key_file: key }, /tls\.cert_file.*absent\.pem/],
    [{ cert_file: cert, key_file: text }, /tls\.key_file: expected PEM with a private key/],
    [{ cert_file: key, key_file: key }, /tls\.cert_file: expected PEM with a certificate/],
  ] as const)
    await assert.rejects(start(t, { tls }), (error) => {
      assert.ok(error instanceof LoopscopeError && error.code === 'config_invalid');
      return said.test(error.message);
    });
});

function loadConfigOf(yaml: string, env: Record<string, string> = {}): Config {
  const path = join(folder, 'loopscope.yaml');
  writeFileSync(path, yaml);
  return loadConfig(path, env);
}
