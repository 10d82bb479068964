import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, constants } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import grpc from '@grpc/grpc-js';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import protobuf from 'protobufjs';
import type { Collector } from '../../collector/collector.ts';
import { startTestCollector } from '../support/collector.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

type TestStore = Awaited<ReturnType<typeof startTestStore>>;
let clickhouse: TestStore;
let collector: Collector;

const start = (options: Partial<Parameters<typeof startTestCollector>[0]> = {}) =>
  startTestCollector({ store: clickhouse.store, ...options });

before(async () => {
  clickhouse = await startTestStore();
  collector = await start();
});
after(async () => {
  await collector?.close();
  await clickhouse?.close();
});

const TRACES = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';
const asIs = (bytes: Buffer) => bytes;

interface Outcome {
  code: grpc.status;
  message: string;
  /** Seconds, of the `RetryInfo` where there is one. */
  retryAfterS: number | undefined;
  body: Buffer;
}

/** One unary call with the bytes of its message, by gRPC's own client. */
async function call(
  to: Collector,
  body: Buffer,
  {
    path = TRACES,
    headers = {} as Record<string, string>,
    options = {} as grpc.ClientOptions,
    credentials = grpc.credentials.createInsecure(),
  } = {},
): Promise<Outcome> {
  const client = new grpc.Client(new URL(to.grpcUrl).host, credentials, options);
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  try {
    return await new Promise((resolve) => {
      client.makeUnaryRequest(path, asIs, asIs, body, metadata, (error, answer) => {
        resolve({
          code: error?.code ?? grpc.status.OK,
          message: error?.details ?? '',
          retryAfterS: retryAfterS(error?.metadata.get('grpc-status-details-bin')[0]),
          body: answer ?? Buffer.alloc(0),
        });
      });
    });
  } finally {
    client.close();
  }
}

const GOOGLE_RPC = protobuf.parse(`
  syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message Duration { int64 seconds = 1; int32 nanos = 2; }
  message RetryInfo { Duration retry_delay = 1; }
`).root;

function retryAfterS(details: string | Buffer | undefined): number | undefined {
  if (details === undefined) return undefined;
  const status = GOOGLE_RPC.lookupType('Status').decode(details as Buffer) as unknown as {
    code: number;
    details: { typeUrl: string; value: Uint8Array }[];
  };
  assert.equal(status.code, grpc.status.UNAVAILABLE);
  assert.equal(status.details[0]!.typeUrl, 'type.googleapis.com/google.rpc.RetryInfo');
  const info = GOOGLE_RPC.lookupType('RetryInfo').decode(status.details[0]!.value);
  const { retryDelay } = info.toJSON() as { retryDelay: { seconds: string } };
  return Number(retryDelay.seconds);
}

/** A request with one span whose name has `nameBytes` bytes; a trace id of another length is no trace id. */
function oneSpan(traceId: string, nameBytes = 1): Buffer {
  const field = (number: number, value: Buffer) => {
    const length: number[] = [];
    let rest = value.length;
    for (; rest >= 0x80; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
    return Buffer.concat([Buffer.from([(number << 3) | 2, ...length, rest]), value]);
  };
  const fixed64 = (number: number, value: bigint) => {
    const bytes = Buffer.alloc(9, (number << 3) | 1);
    bytes.writeBigUInt64LE(value, 1);
    return bytes;
  };
  const span = Buffer.concat([
    field(1, Buffer.from(traceId, 'hex')),
    field(2, Buffer.from('a1'.repeat(8), 'hex')),
    field(5, Buffer.alloc(nameBytes, 'n')),
    fixed64(7, 1_687_856_400_000_000_000n),
    fixed64(8, 1_687_856_401_000_000_000n),
  ]);
  return field(1, field(2, field(2, span)));
}

const namesOf = async (service: string) => {
  const rows = await clickhouse.store.query<{ SpanName: string }>(
    'SELECT SpanName FROM loopscope.otel_traces WHERE ServiceName = {service:String} ORDER BY SpanName',
    { service },
  );
  return rows.map((row) => row.SpanName);
};

/** An SDK as it comes, whose `send` makes a span and hands it to the exporter at once. */
function sdk(service: string, exporter: GrpcExporter | JsonExporter) {
  const processor = new BatchSpanProcessor({ exporter } as never);
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': service }),
    spanProcessors: [processor],
  });
  return {
    send: async (name: string) => {
      provider.getTracer('tests').startSpan(name).end();
      await provider.forceFlush();
    },
    shutdown: () => provider.shutdown(),
  };
}

test("OpenTelemetry's own gRPC and JSON exporters with their defaults bring their spans, also to a collector that came back", async () => {
  const first = await start();
  const { port } = new URL(first.url);
  const { port: grpcPort } = new URL(first.grpcUrl);
  const overGrpc = sdk('sdk-grpc', new GrpcExporter({ url: first.grpcUrl }));
  const overJson = sdk('sdk-json', new JsonExporter({ url: `${first.url}/v1/traces` }));
  await overGrpc.send('one');
  await overJson.send('one');
  await first.flush();
  assert.deepEqual(await namesOf('sdk-grpc'), ['one']);
  assert.deepEqual(await namesOf('sdk-json'), ['one']);

  await first.close();
  const away = overJson.send('away'); // repeated until somebody answers
  const second = await start({ port: Number(port), grpcPort: Number(grpcPort) });
  try {
    // The first export after it may fall to the old connection; this exporter repeats nothing by itself.
    await until('a span over gRPC after the restart', async () => {
      await overGrpc.send('two').catch(() => {});
      await second.flush();
      return (await namesOf('sdk-grpc')).includes('two');
    });
    await away;
    await overJson.send('two');
    await second.flush();
    assert.deepEqual(await namesOf('sdk-json'), ['away', 'one', 'two']);
  } finally {
    await Promise.all([overGrpc.shutdown(), overJson.shutdown()]);
    await second.close();
  }
});

test('success, partial success and an empty request are answered with the response message', async () => {
  const whole = await call(collector, oneSpan('b1'.repeat(16)));
  assert.equal(whole.code, grpc.status.OK);
  assert.equal(whole.body.length, 0);
  for (const service of ['trace.v1.TraceService', 'logs.v1.LogsService', 'metrics.v1.MetricsService']) {
    const path = `/opentelemetry.proto.collector.${service}/Export`;
    assert.equal((await call(collector, Buffer.alloc(0), { path })).code, grpc.status.OK, service);
  }

  const partial = await call(collector, oneSpan('b1'));
  assert.equal(partial.code, grpc.status.OK);
  assert.match(partial.body.toString('latin1'), /Not taken: 1 because/);

  const packed = { options: { 'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip } };
  assert.equal((await call(collector, oneSpan('b2'.repeat(16), 10_000), packed)).code, grpc.status.OK);
  await collector.flush();
  const [{ n }] = (await clickhouse.store.query<{ n: number }>(
    `SELECT uniqExact(TraceId) AS n FROM loopscope.otel_traces WHERE TraceId IN ('${'b1'.repeat(16)}', '${'b2'.repeat(16)}')`,
  )) as [{ n: number }];
  assert.equal(n, 2);
});

test('a refusal has the status that says whether to come again, and when', async () => {
  const small = await start({ bodyBytesMax: 1_000, pendingBytesMax: 500 });
  try {
    const bad = await call(small, Buffer.from('no protobuf'));
    assert.equal(bad.code, grpc.status.INVALID_ARGUMENT);
    assert.equal(bad.retryAfterS, undefined);

    const large = await call(small, oneSpan('c1'.repeat(16), 2_000));
    assert.equal(large.code, grpc.status.RESOURCE_EXHAUSTED);
    assert.match(large.message, /larger than 1000 bytes/);
    assert.equal(large.retryAfterS, undefined, 'with RetryInfo it would be sent again and again');

    const gzip = { options: { 'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip } };
    const unpacked = await call(small, oneSpan('c2'.repeat(16), 2_000), gzip);
    assert.equal(unpacked.code, grpc.status.RESOURCE_EXHAUSTED);

    const notNow = await call(small, oneSpan('c3'.repeat(16), 600));
    assert.equal(notNow.code, grpc.status.UNAVAILABLE);
    assert.ok(notNow.retryAfterS! >= 1, 'RetryInfo says when');

    const unknown = await call(small, Buffer.alloc(0), { path: '/opentelemetry.Nothing/Export' });
    assert.equal(unknown.code, grpc.status.UNIMPLEMENTED);

    assert.equal((await call(small, oneSpan('c4'.repeat(16)))).code, grpc.status.OK, 'it goes on as before');
    assert.match(
      await (await fetch(`${small.url}/metrics`)).text(),
      /^loopscope_collector_pending_bytes 0$/m,
    );
  } finally {
    await small.close();
  }
});

const PACKED_CALL = {
  ':method': 'POST',
  ':path': TRACES,
  'content-type': 'application/grpc',
  'grpc-encoding': 'gzip',
  te: 'trailers',
};
/** A compressed message with its prefix. */
const BOMB = (() => {
  const packed = gzipSync(Buffer.alloc(65 * 1024 * 1024));
  const prefix = Buffer.from([1, 0, 0, 0, 0]);
  prefix.writeUInt32BE(packed.length, 1);
  return Buffer.concat([prefix, packed]);
})();

test('many gzip bombs at once are refused by what they unpack to', async () => {
  const session = connect(collector.grpcUrl);
  // All share one connection's window: who gets none of it while memory is short may be cut off as too slow.
  const cutOff = `reset by ${constants.NGHTTP2_CANCEL}`;
  const outcomes = await Promise.all(
    Array.from({ length: 50 }, async () => {
      const request = session.request(PACKED_CALL);
      const answered = new Promise<string>((resolve) => {
        request.on('response', (headers) => resolve(String(headers['grpc-status'])));
        request.on('close', () => resolve(`reset by ${request.rstCode}`));
      });
      request.on('error', () => {}); // told to stop sending
      request.resume();
      request.end(BOMB);
      return await answered;
    }),
  );
  session.close();
  const refusals = [String(grpc.status.RESOURCE_EXHAUSTED), String(grpc.status.UNAVAILABLE), cutOff];
  for (const outcome of outcomes) assert.ok(refusals.includes(outcome), outcome);
  assert.ok(outcomes.includes(String(grpc.status.RESOURCE_EXHAUSTED)));
  await until('all of it is given back', async () =>
    /^loopscope_collector_pending_bytes 0$/m.test(await (await fetch(`${collector.url}/metrics`)).text()),
  );
});

test('a call that stops in the middle is cut off, and only it', async () => {
  const session = connect(collector.grpcUrl);
  const stopped = session.request(PACKED_CALL);
  stopped.on('error', () => {});
  stopped.resume();
  stopped.write(BOMB.subarray(0, 3));
  await once(stopped, 'close');
  assert.equal(stopped.rstCode, constants.NGHTTP2_CANCEL);
  session.close();
  assert.equal(
    (await call(collector, oneSpan('c5'.repeat(16)))).code,
    grpc.status.OK,
    'it goes on as before',
  );
  const metrics = await (await fetch(`${collector.url}/metrics`)).text();
  assert.match(metrics, /^loopscope_collector_pending_bytes 0$/m);
});

test('a call that ends too early, or that is no gRPC, is refused', async () => {
  const session = connect(collector.grpcUrl);
  const answerTo = (contentType: string, body: Buffer) =>
    new Promise<Record<string, unknown>>((resolve) => {
      const request = session.request({ ':method': 'POST', ':path': TRACES, 'content-type': contentType });
      request.on('response', resolve);
      request.on('error', () => {});
      request.resume();
      request.end(body);
    });
  try {
    for (const body of [
      Buffer.alloc(0),
      Buffer.from([0, 0, 0]),
      Buffer.from([0, 0, 0, 0, 9, 1]),
      Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ])
      assert.equal(
        (await answerTo('application/grpc', body))['grpc-status'],
        String(grpc.status.INVALID_ARGUMENT),
      );
    assert.equal((await answerTo('application/json', Buffer.from('{}')))[':status'], 415);
  } finally {
    session.close();
  }
});

test('with a token only who shows it may send; health is told to anyone', async () => {
  const guarded = await start({ token: 'secret-token' });
  try {
    const span = oneSpan('d1'.repeat(16));
    assert.equal((await call(guarded, span)).code, grpc.status.UNAUTHENTICATED);
    const wrong = await call(guarded, span, { headers: { authorization: 'Bearer secret' } });
    assert.equal(wrong.code, grpc.status.UNAUTHENTICATED);
    const right = await call(guarded, span, { headers: { authorization: 'Bearer secret-token' } });
    assert.equal(right.code, grpc.status.OK);
    const health = await call(guarded, Buffer.alloc(0), { path: '/grpc.health.v1.Health/Check' });
    assert.deepEqual([...health.body], [0x08, 0x01]);
  } finally {
    await guarded.close();
  }
});

test('with a certificate calls come over TLS, and over nothing else', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-grpc-'));
  const tls = { cert_file: join(folder, 'cert.pem'), key_file: join(folder, 'key.pem') };
  const args = '-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost';
  const files = ['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', tls.key_file, '-out', tls.cert_file];
  execFileSync('openssl', ['req', ...args.split(' '), ...files], { stdio: 'pipe' });
  const secure = await start({ tls });
  try {
    assert.match(secure.grpcUrl, /^https:/);
    const credentials = grpc.credentials.createSsl(readFileSync(tls.cert_file));
    assert.equal((await call(secure, oneSpan('e1'.repeat(16)), { credentials })).code, grpc.status.OK);
    assert.equal((await call(secure, oneSpan('e2'.repeat(16)))).code, grpc.status.UNAVAILABLE);
  } finally {
    await secure.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a second collector on the same gRPC port is refused in one line that names the setting', async () => {
  const { port } = new URL(collector.grpcUrl);
  await assert.rejects(start({ grpcPort: Number(port) }), /gRPC.*collector\.grpc_port/);
});
