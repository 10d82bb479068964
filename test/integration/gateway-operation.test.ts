import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import { loadConfig } from '../../src/config.ts';
import { buffer } from '../support/cli.ts';
import { startTestGateway } from '../support/gateway.ts';
import { type RoleProcess, startRole } from '../support/role-process.ts';
import {
  type Answer,
  brokenStream,
  chatChunk,
  chatCompletion,
  json,
  type ScriptedProvider,
  sse,
  startScriptedProvider,
  stream,
} from '../support/scripted-provider.ts';
import { type SpanReceiver, startSpanReceiver } from '../support/span-receiver.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

/** A gateway that runs for months: settings that change under it, its end, and what its operator sees of it. */
let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
let collector: SpanReceiver;
let first: ScriptedProvider;
let second: ScriptedProvider;
before(async () => {
  clickhouse = await startTestStore();
  collector = await startSpanReceiver();
  first = await startScriptedProvider(json(chatCompletion('from the first')));
  second = await startScriptedProvider(json(chatCompletion('from the second')));
});
after(async () => {
  await first?.close();
  await second?.close();
  await collector?.close();
  await clickhouse?.close();
});

const settings = (gateway: object = {}, provider = first): object => ({
  clickhouse: { url: clickhouse.url },
  collector: { url: collector.url },
  gateway: { port: 0, ...gateway },
  providers: { openai: { base_url: `${provider.url}/v1` } },
});

async function withGateway(gateway: object, work: (gateway: RoleProcess) => Promise<void>): Promise<void> {
  const process = await startRole('gateway', settings(gateway));
  try {
    await work(process);
  } finally {
    await process.close();
  }
}

interface Answered {
  status: number;
  text: string;
  connection: string | undefined;
  /** Whether it came over a connection that had served a call before. */
  reused: boolean;
}

interface CallOptions {
  loop?: string;
  model?: string;
  stream?: boolean;
  agent?: Agent | false;
  /** Called when the answer begins. */
  begun?: () => void;
}

/** One call; rejects when its connection breaks. */
function call(url: string, options: CallOptions = {}): Promise<Answered> {
  const { loop = 'operated', model = 'gpt-4o', stream: isStream = false, agent = false, begun } = options;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      `${url}/loops/${loop}/v1/chat/completions`,
      { method: 'POST', agent, headers: { 'content-type': 'application/json' } },
      (response) => {
        begun?.();
        let text = '';
        response.setEncoding('utf8').on('data', (piece) => {
          text += piece;
        });
        response.on('error', reject).on('end', () =>
          resolve({
            status: response.statusCode!,
            text,
            connection: response.headers.connection,
            reused: outgoing.reusedSocket,
          }),
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.end(
      JSON.stringify({ model, stream: isStream, messages: [{ role: 'user', content: 'How are you?' }] }),
    );
  });
}

/** A stream that waits in its middle until it is let go. */
function gatedStream(): { answer: Answer; go: () => void } {
  const gate = Promise.withResolvers<void>();
  const answer = stream(
    sse(chatChunk({ content: 'half' })),
    () => gate.promise,
    sse(chatChunk({ content: ' and half' }, 'stop'), '[DONE]'),
  );
  return { answer, go: gate.resolve };
}

/** Begins a streamed call; `whole` is its answer, and breaks off where that does. */
async function openStream(url: string, options: CallOptions): Promise<{ whole: Promise<Answered> }> {
  const begun = Promise.withResolvers<void>();
  const whole = call(url, { ...options, stream: true, begun: begun.resolve });
  whole.catch(begun.reject);
  await begun.promise;
  return { whole };
}

test('new settings hold from the next call on, on connections that are open, and what is under way goes on', async () => {
  await withGateway({}, async (gateway) => {
    const change = (next: object | string) =>
      writeFileSync(
        join(gateway.folder, 'loopscope.yaml'),
        typeof next === 'string' ? next : JSON.stringify({ data_dir: 'data', ...next }),
      );
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const { answer, go } = gatedStream();
    try {
      first.next(answer);
      const { whole } = await openStream(gateway.url, {});
      assert.match((await call(gateway.url, { agent })).text, /from the first/);

      change({
        ...settings({ drain_s: 7 }, second),
        models: { quick: { targets: [{ provider: 'openai', model: 'gpt-4o-mini' }] } },
        limits: [{ scope: 'loop', name: 'limited', window: 'day', max: { calls: 1 } }],
      });
      const changed = await until('a call goes to the second provider', async () => {
        const answered = await call(gateway.url, { agent });
        return /from the second/.test(answered.text) && answered;
      });
      assert.equal(changed.reused, true, 'the connection was kept');
      await until('the log says what waits for the next start', () =>
        /"fields":\["gateway.drain_s"\],"msg":"changed, and takes effect at the next start"/.test(
          gateway.log(),
        ),
      );

      assert.equal((await call(gateway.url, { model: 'quick' })).status, 200);
      assert.equal(JSON.parse(String(second.requests.at(-1)!.body)).model, 'gpt-4o-mini');
      assert.equal((await call(gateway.url, { loop: 'limited' })).status, 200);
      const refused = await call(gateway.url, { loop: 'limited' });
      assert.equal(refused.status, 429);
      assert.match(refused.text, /budget_exceeded/);

      change('gateway: { port: four thousand }');
      await until('the log says what is wrong', () =>
        /loopscope\.yaml:1.*gateway\.port.*settings not reloaded/.test(gateway.log()),
      );
      const kept = await call(gateway.url, { agent });
      assert.match(kept.text, /from the second/);
      assert.equal(kept.reused, true);

      go();
      assert.match((await whole).text, /half.*and half.*\[DONE\]/s);
    } finally {
      agent.destroy();
    }
  });
});

test('at its end it is unready first, takes calls until load balancers know, and lets those under way finish', async () => {
  await withGateway({ unready_s: 4, drain_s: 600 }, async (gateway) => {
    const { answer, go } = gatedStream();
    first.next(answer);
    const agent = new Agent({ keepAlive: true });
    const loop = 'drained';
    const { whole } = await openStream(gateway.url, { loop, agent });
    assert.equal((await fetch(`${gateway.url}/readyz`)).status, 200);

    gateway.child.kill('SIGTERM');
    const unready = await until('it is unready', async () => {
      const response = await fetch(`${gateway.url}/readyz`);
      return response.status === 503 && ((await response.json()) as { reasons: string[] });
    });
    assert.deepEqual(unready.reasons, ['closing']);
    const late = await call(gateway.url, { loop });
    assert.equal(late.status, 200);
    assert.equal(late.connection, 'close', 'the caller is not to come again');

    await until('it takes no connections', () =>
      call(gateway.url).then(
        () => false,
        (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
      ),
    );
    go();
    assert.match((await whole).text, /half.*and half.*\[DONE\]/s);
    assert.equal(await gateway.exited, 0);
    agent.destroy();
    const calls = collector.spans.filter(
      (span) => span.attributes['loopscope.loop'] === loop && span.attributes['loopscope.record'] === 'call',
    );
    assert.deepEqual(
      calls.map(({ failed }) => failed),
      [false, false],
    );
  });
});

test('a call that does not end keeps it for its time only, and has its span', async () => {
  await withGateway({ drain_s: 0.2 }, async (gateway) => {
    const { answer, go } = gatedStream();
    first.next(answer);
    const loop = 'cut-off';
    const { whole } = await openStream(gateway.url, { loop });
    gateway.child.kill('SIGTERM');
    await assert.rejects(whole);
    assert.equal(await gateway.exited, 0);
    go();
    const span = collector.spans.find(
      ({ attributes }) => attributes['loopscope.loop'] === loop && attributes['loopscope.record'] === 'call',
    );
    assert.equal(span?.failed, true);
  });
});

test('the access log has a line a call: who called what and how it went, and nothing that was said', async () => {
  const CANARY = 'canary-7f3a';
  const lines = buffer();
  const provider = await startScriptedProvider(json(chatCompletion(`said ${CANARY}`)));
  const defaults = loadConfig(undefined, {}).gateway;
  const gateway = await startTestGateway({
    providerUrl: provider.url,
    config: { gateway: { ...defaults, port: 0, access_log: true } },
    log: pino({ level: 'info' }, lines),
  });
  try {
    const send = (path: string, body: object, headers: Record<string, string> = {}) =>
      fetch(`${gateway.url}/loops/logged/agents/maker${path}`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          authorization: `Bearer sk-${CANARY}`,
          cookie: CANARY,
          'x-loop-run': 'r-1',
          ...headers,
        },
        body: JSON.stringify(body),
      })
        .then((response) => response.text())
        .catch(() => ''); // a stream that broke
    const body = { model: 'gpt-4o', user: CANARY, messages: [{ role: 'user', content: CANARY }] };
    await send(`/v1/chat/completions?q=${CANARY}`, body);
    provider.next(json({ error: { message: `no ${CANARY}`, type: 'invalid_request_error' } }, 400));
    await send('/v1/chat/completions', body);
    provider.next(brokenStream(sse(chatChunk({ content: CANARY }))));
    await send('/v1/chat/completions', { ...body, stream: true });
    await send(`/v1/files/${CANARY}`, { CANARY });
    const calls = await until('four lines', () => {
      const found = lines
        .text()
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter(({ msg }) => msg === 'call');
      return found.length === 4 && found;
    });
    assert.doesNotMatch(lines.text(), new RegExp(CANARY));
    const shown = calls.map(({ loop, run, agent, method, path, provider, model, status, error }) => ({
      ...{ loop, run, agent, method, path, provider, model, status, error },
    }));
    const common = { loop: 'logged', run: 'r-1', agent: 'maker', method: 'POST', provider: 'openai' };
    const chat = { ...common, path: '/chat/completions', model: 'gpt-4o' };
    assert.deepEqual(
      shown.map(({ path, ...rest }) => ({ ...rest, path: String(path).replace(/^\/v1/, '') })),
      [
        { ...chat, status: 200, error: undefined },
        { ...chat, status: 400, error: 'invalid_request_error' },
        { ...chat, status: 200, error: 'stream_interrupted' },
        { ...common, path: '/files/{id}', model: undefined, status: 200, error: undefined },
      ],
    );
    for (const line of calls) {
      assert.equal(typeof line['seconds'], 'number');
      assert.equal(line['attempts'], 1);
      assert.match(String(line['trace']), /^[0-9a-f]{32}$/);
    }
  } finally {
    await gateway.close();
    await provider.close();
  }
});

test('the metrics have the calls, under the labels of the conventions', async () => {
  const provider = await startScriptedProvider(json(chatCompletion('fine')));
  const gateway = await startTestGateway({ providerUrl: provider.url });
  try {
    await call(gateway.url, { loop: 'measured' });
    provider.next(json({ error: { message: 'no', type: 'invalid_request_error' } }, 400));
    await call(gateway.url, { loop: 'measured' });
    const text = await (await fetch(`${gateway.url}/metrics`)).text();
    const labels = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"';
    for (const line of [
      `gen_ai_client_inference_duration_seconds_count{${labels}} 1`,
      `gen_ai_client_inference_duration_seconds_count{${labels},error_type="invalid_request_error"} 1`,
      `gen_ai_client_inference_usage_input_tokens_total{${labels}} 1000`,
      'loopscope_gateway_requests_total{provider="openai",status="400"} 1',
    ])
      assert.ok(text.split('\n').includes(line), `${line}\n${text}`);
  } finally {
    await gateway.close();
    await provider.close();
  }
});
