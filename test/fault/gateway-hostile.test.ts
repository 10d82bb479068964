import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { pino } from 'pino';
import { loadConfig } from '../../src/config.ts';
import { LoopDefinition } from '../../src/registry/loop.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import { CANARY, FALSE_KEY, type HostileRequest, hostileRequests } from '../support/hostile.ts';
import {
  chatCompletion,
  type ScriptedProvider,
  startScriptedProvider,
} from '../support/scripted-provider.ts';
import { type SpanReceiver, startSpanReceiver } from '../support/span-receiver.ts';
import { until } from '../support/until.ts';

/**
 * Two hundred requests that no honest client sends. None ends the gateway or makes it forget itself, and no key that came
 * with one is seen again: in no answer, no line of the log, no span, and not in the files where spans wait.
 */

/** Of what the gateway keeps after all of it. */
const KEPT_BYTES_MAX = 200 * 1024 * 1024;
/** How long a request is given that may well get no answer. */
const PATIENCE_MS = 400;

let provider: ScriptedProvider;
let receiver: SpanReceiver;
let gateway: TestGateway;
const logged: string[] = [];

before(async () => {
  const sound = JSON.stringify(chatCompletion('hello'));
  provider = await startScriptedProvider((response) => {
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(sound),
    });
    response.end(sound);
  });
  receiver = await startSpanReceiver();
  // What is not delivered stays in the folder, so that it can be searched.
  receiver.status = 503;
  const { collector } = loadConfig(undefined, {});
  gateway = await startTestGateway({
    providerUrl: provider.url,
    loops: [
      LoopDefinition.parse({ loop: 'hostile', owner: 'us', cache: { ttl_s: 60 } }),
      LoopDefinition.parse({
        loop: 'metered',
        owner: 'us',
        limits: [{ window: 'day', max: { tokens: 100_000, cost_usd: 100 } }],
      }),
    ],
    config: {
      collector: { ...collector, url: receiver.url },
      models: { virtual: { targets: [{ provider: 'openai', model: 'real' }], pick: 'priority' } },
    },
    log: pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) }),
  });
});
after(async () => {
  await gateway.close();
  await receiver.close();
  await provider.close();
});

interface Got {
  /** 0 where nothing came that is an answer. */
  status: number;
  text: string;
}

/** Sends a request over a connection of its own, and reads until its answer is whole, the connection ends, or nothing comes. */
async function send(
  url: string,
  { pieces, expect }: Pick<HostileRequest, 'pieces' | 'expect'>,
): Promise<Got> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const closed = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<void>();
  let text = '';
  socket.on('error', () => {}); // it may be cut off in the middle of what it sends
  socket.on('close', () => closed.resolve());
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    if (isWhole(text)) answered.resolve();
  });
  const done = Promise.race([closed.promise, answered.promise]);
  const sent = (async () => {
    for (const piece of pieces()) {
      if (socket.destroyed) return;
      if (!socket.write(piece)) await Promise.race([new Promise((r) => socket.once('drain', r)), done]);
    }
  })();
  const patience = AbortSignal.timeout(expect.includes(0) ? PATIENCE_MS : 20_000);
  const over = new Promise<void>((resolve) => patience.addEventListener('abort', () => resolve()));
  await Promise.race([Promise.all([sent, done]), done, over]);
  socket.destroy();
  await closed.promise;
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? 0);
  return { status, text };
}

function isWhole(text: string): boolean {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd === -1 || text.startsWith('HTTP/1.1 1')) return false;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, headEnd))?.[1];
  return length === undefined ? text.endsWith('0\r\n\r\n') : text.length >= headEnd + 4 + Number(length);
}

async function assertAlive(after: string): Promise<void> {
  const health = await fetch(`${gateway.url}/healthz`);
  assert.equal(`${health.status} ${await health.text()}`, '200 ok', after);
  const response = await fetch(`${gateway.url}/loops/sound/v1/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }] }),
    headers: { authorization: 'Bearer sk-sound' },
  });
  const { choices } = (await response.json()) as ReturnType<typeof chatCompletion>;
  assert.equal(choices[0]!.message.content, 'hello', after);
}

const secrets = [CANARY, FALSE_KEY, 'sk-configured', 'sk-ant-configured'];

function assertNoSecret(text: string, where: string): void {
  for (const secret of secrets) {
    const at = text.indexOf(secret);
    assert.equal(at, -1, `${where} has a key in it: …${text.slice(Math.max(0, at - 200), at + 60)}`);
  }
}

const requests = hostileRequests();

test('there are two hundred of them, each with a name of its own', () => {
  assert.ok(requests.length >= 200, String(requests.length));
  assert.equal(new Set(requests.map(({ family, name }) => `${family}: ${name}`)).size, requests.length);
});

for (const family of new Set(requests.map((request) => request.family)))
  test(`${family}: the gateway answers as it should, goes on, and sends no key anywhere else`, async () => {
    const wrong: string[] = [];
    for (const request of requests.filter((one) => one.family === family)) {
      const { status, text } = await send(gateway.url, request);
      if (!request.expect.includes(status))
        wrong.push(
          `${request.name}: expected ${request.expect.join(' or ')}, got ${status} ${text.slice(0, 300)}`,
        );
      assertNoSecret(text, `the answer to ${request.name}`);
      await assertAlive(request.name);
      for (const { url, rawHeaders, headers } of provider.requests.splice(0)) {
        assert.ok(!url.includes('smuggled'), request.name);
        assert.ok(
          !rawHeaders.join('\n').includes('lsk_'),
          `${request.name}: a virtual key went to the provider`,
        );
        assert.equal(headers.host, new URL(provider.url).host, request.name);
        assert.equal(headers['x-loop-agent'], undefined, request.name);
      }
    }
    assert.deepEqual(wrong, []);
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  });

test('a call that asks for more than there is takes nothing from the budget of the others', async () => {
  const ask = async (more: object) => {
    const response = await fetch(`${gateway.url}/loops/metered/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'gpt-4o', messages: [], ...more }),
    });
    await response.text();
    return response.status;
  };
  for (const n of [1, Number.MAX_SAFE_INTEGER, 1e308, -1])
    for (const max_tokens of [Number.MAX_SAFE_INTEGER, 1e308])
      assert.ok([200, 429].includes(await ask({ n, max_tokens })));
  assert.equal(await ask({ n: Number.MAX_SAFE_INTEGER, max_tokens: Number.MAX_SAFE_INTEGER }), 429);
  for (let i = 0; i < 20; i++) assert.equal(await ask({ max_tokens: 100 }), 200);
});

test('no key is in the log, in the files of the spool, or on a span', async () => {
  assertNoSecret(logged.join('\n'), 'the log');
  const files = readdirSync(gateway.folder, { recursive: true, withFileTypes: true }).filter((f) =>
    f.isFile(),
  );
  const kept = files
    .map((file) => readFileSync(join(file.parentPath, file.name)).toString('latin1'))
    .join('\n');
  assert.ok(kept.includes('hostile'), 'the spans are in the spool, and can be read there');
  assertNoSecret(kept, 'the spool');
  receiver.status = 200;
  await until(
    'every span to be delivered',
    async () => {
      await gateway.flush();
      return receiver.spans.length > requests.length;
    },
    60_000,
  );
  const inSpans = JSON.stringify(receiver.spans, (_, value) =>
    typeof value === 'bigint' ? String(value) : value,
  );
  assertNoSecret(inSpans, 'a span');
});

test('memory is as it was', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  await until('memory to be let go of', () => {
    receiver.spans.length = 0;
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external < KEPT_BYTES_MAX;
  });
});
