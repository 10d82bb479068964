import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { A } from '../../src/span/attributes.ts';
import { BillingProvider, type Booked, priceSettings } from '../support/billing-provider.ts';
import { SEED } from '../support/campaign.ts';
import { startTestCollector } from '../support/collector.ts';
import { startTestGateway } from '../support/gateway.ts';
import type { GatewayChildSettings } from '../support/gateway-child.ts';
import { MortalProcess } from '../support/mortal-process.ts';
import { chatChunk, sse, startScriptedProvider, stream } from '../support/scripted-provider.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

/**
 * What is in ClickHouse against the provider's own books, after thousands of calls of all kinds, with callers that hang
 * up, failures that are tried again, repeated keys, and `kill -9` of the gateway.
 *
 * What holds: a call's usage is on its span exactly where the gateway read it in the answer, and then it is the
 * provider's own numbers. What is not known is not there, and never 0:
 * - A caller that hangs up in mid-stream takes the usage with it. The gateway cancels the call at once, because to read
 *   on would be to pay for words that nobody wants; what was generated until the provider noticed is on the provider's
 *   bill and was told to nobody. Anthropic tells at the start what the input came to, and that much is on the span.
 *   Budgets count such a call as it was reserved. Where the model has finished already and only the end is to come, the
 *   gateway waits for it a moment.
 * - A chat stream that did not ask for usage (`stream_options.include_usage`) is told none.
 * - A gateway that is killed takes the calls under way with it: nobody has their whole answers. A call whose answer
 *   somebody has to its last byte is on record.
 */
const CALLS = process.env['LOOPSCOPE_LONG'] === '1' ? 10_000 : 2_000;
const CALLERS = 16;
const KILLS = process.env['LOOPSCOPE_LONG'] === '1' ? 20 : 6;
const LOOPS = ['spend-a', 'spend-b', 'spend-c'];

type Ending = 'whole' | 'refused' | 'hung up' | 'broken';

interface Ended {
  ending: Ending;
  /** Of the answer, where it got as far. */
  id: string | undefined;
}

interface Planned {
  path: string;
  body: object;
  headers: Record<string, string>;
  /** How many pieces of the answer it wants before it hangs up; 0 is before there is any. */
  patience: number;
}

const LAST_EVENTS = ['data: [DONE]\n\n', 'event: response.completed\n', 'event: message_stop\n'];

function call(url: string, agent: Agent, { path, body, headers, patience }: Planned): Promise<Ended> {
  return new Promise((resolve) => {
    let text = '';
    let isStream = false;
    const done = (ending: Ending) => resolve({ ending, id: /"id":"(answer-\d+)"/.exec(text)?.[1] });
    const hasAll = () => isStream && LAST_EVENTS.some((last) => text.includes(last)) && text.endsWith('\n\n');
    const outgoing = request(
      `${url}${path}`,
      { method: 'POST', agent, headers: { 'content-type': 'application/json', ...headers } },
      (response) => {
        let pieces = 0;
        isStream = String(response.headers['content-type']).startsWith('text/event-stream');
        response.setEncoding('utf8');
        response.on('data', (piece: string) => {
          text += piece;
          if (++pieces < patience) return;
          outgoing.destroy();
          done(hasAll() ? 'whole' : 'hung up');
        });
        response.on('end', () => done(response.statusCode === 200 ? 'whole' : 'refused'));
        response.on('error', () => done(hasAll() ? 'whole' : 'broken'));
      },
    );
    outgoing.on('error', () => done('broken'));
    outgoing.end(JSON.stringify(body));
    if (patience === 0)
      setImmediate(() => {
        outgoing.destroy();
        done('hung up');
      });
  });
}

function plan(random: () => number, n: number): Planned {
  const loop = LOOPS[Math.floor(random() * LOOPS.length)]!;
  const agent = random() < 0.5 ? 'maker' : 'reviewer';
  const run = `r-${Math.floor(n / 20)}`;
  const said = `${loop}/${agent}/${run}`;
  const stream = random() < 0.6;
  const kind = random();
  const headers: Record<string, string> = { 'x-loop-run': run };
  const patience = random() < 0.15 ? Math.floor(random() * 8) : Number.POSITIVE_INFINITY;
  if (random() < 0.05) headers['idempotency-key'] = `key-${n}`;
  const messages = [{ role: 'user', content: said }];
  const from = `/loops/${loop}/agents/${agent}`;
  if (kind < 0.3)
    return {
      path: `${from}/anthropic/v1/messages`,
      headers,
      patience,
      body: { model: 'm-claude', max_tokens: 9, stream, messages },
    };
  const model = random() < 0.5 ? 'm-large' : 'm-small';
  if (kind < 0.6)
    return { path: `${from}/v1/responses`, headers, patience, body: { model, stream, input: said } };
  const body = {
    model,
    stream,
    messages,
    ...(random() < 0.9 && { stream_options: { include_usage: true } }),
  };
  return { path: `${from}/v1/chat/completions`, headers, patience, body };
}

interface Row {
  id: string;
  error: string;
  input: number | null;
  output: number | null;
  cost: number | null;
}

test(`spend is what the provider says it was, after ${CALLS} calls and ${KILLS} kills (seed ${SEED})`, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-gateway-spend-'));
  const clickhouse = await startTestStore();
  const collector = await startTestCollector({ store: clickhouse.store });
  const provider = new BillingProvider(seededRandom(SEED));
  const { routing } = loadConfig(undefined, {});
  const gateway = new MortalProcess<GatewayChildSettings>('gateway-child.ts', {
    providerUrl: await provider.start(),
    collectorUrl: collector.url,
    folder,
    port: 0,
    config: {
      prices: priceSettings,
      routing: {
        ...routing,
        retries: { max: 2, initial_ms: 2 },
        retry_budget: { share: 1, per_s: 100 },
        breaker: { ...routing.breaker, consecutive_failures: 1_000, failure_share: 1 },
      },
    },
  });
  const random = seededRandom(SEED + 1);
  const agent = new Agent({ keepAlive: true });
  const answered = new Set<string>();
  const endings: Record<Ending, number> = { whole: 0, refused: 0, 'hung up': 0, broken: 0 };
  let made = 0;
  /** Resolves when the gateway is there again. */
  let restarted = Promise.resolve();
  const make = async (planned: Planned) => {
    await restarted;
    const { ending, id } = await call(gateway.url, agent, planned);
    endings[ending]++;
    if (ending === 'whole') answered.add(id!);
  };
  try {
    await gateway.start();
    const callers = Array.from({ length: CALLERS }, async () => {
      while (made < CALLS) {
        const planned = plan(random, made++);
        // A key is for those who ask twice.
        await Promise.all(
          planned.headers['idempotency-key'] ? [make(planned), make(planned)] : [make(planned)],
        );
      }
    });
    for (let kill = 1; kill <= KILLS; kill++) {
      await until('calls', () => made >= (CALLS * kill) / (KILLS + 1), 120_000);
      const { promise, resolve } = Promise.withResolvers<void>();
      restarted = promise;
      await gateway.kill();
      await gateway.start();
      resolve();
    }
    await Promise.all(callers);
    await until(
      'the gateway has delivered all',
      async () =>
        /^loopscope_gateway_spool_records 0$/m.test(await (await fetch(`${gateway.url}/metrics`)).text()),
      60_000,
    );
    await collector.flush();

    const query = <T>(sql: string) => clickhouse.store.query<T>(sql, { loops: LOOPS });
    const FROM = `FROM loopscope.otel_traces WHERE Record = 'call' AND Loop IN {loops:Array(String)}`;
    const rows = await query<Row>(
      `SELECT SpanAttributes['gen_ai.response.id'] AS id, SpanAttributes['error.type'] AS error,
         toFloat64(InputTokens) AS input, toFloat64(OutputTokens) AS output, CostUsd AS cost ${FROM}`,
    );
    const { books } = provider;
    const priced = rows.filter(({ cost }) => cost !== null);
    const unpriced = rows.filter(({ cost }) => cost === null);
    const onRecord = new Set(priced.map(({ id }) => id));
    const told = [...books].filter(([, { state, tellsUsage }]) => state !== 'begun' && tellsUsage);
    const figures = `${made} calls, ${JSON.stringify(endings)}; provider: ${provider.requests} requests, ${provider.failures} failed, usage told of ${told.length}; ${priced.length} calls with usage, ${unpriced.length} without, seed ${SEED}`;
    process.stderr.write(`# spend: ${figures}\n`);

    // Call by call: the provider's own numbers, once.
    assert.equal(onRecord.size, priced.length, `an answer's usage is on two spans (${figures})`);
    for (const { id, input, output, cost } of priced) {
      const { inputTokens, outputTokens, nanoUsd, tellsUsage } = books.get(id)!;
      assert.ok(tellsUsage);
      assert.deepEqual([input, output, Math.round(cost! * 1e9)], [inputTokens, outputTokens, nanoUsd], id);
    }
    // What is not known is not there. Anthropic's streams say first what the input came to.
    for (const { id, input, output } of unpriced) {
      assert.equal(output, null, id);
      if (input !== null) {
        const { api, inputTokens } = books.get(id)!;
        assert.deepEqual([api, input], ['messages', inputTokens], id);
      }
    }
    // Whoever has a whole answer has its usage on record; what is missing was cut.
    const missing = [...answered].filter((id) => books.get(id)!.tellsUsage && !onRecord.has(id));
    assert.deepEqual(missing, [], figures);
    const cut = told.filter(([id]) => !onRecord.has(id));
    assert.ok(cut.length <= endings['hung up'] + endings.broken, figures);
    assert.ok(endings.whole > CALLS / 2 && endings['hung up'] > 0 && endings.broken > 0, figures);
    assert.ok(
      provider.failures > 0 && unpriced.some(({ error }) => error === 'client_disconnected'),
      figures,
    );

    // Added up in every way it is the same, to the cent and to the token.
    const bill = (key: (booked: Booked) => string) => {
      const sums = new Map<string, { nanoUsd: number; input: number; output: number }>();
      for (const id of onRecord) {
        const booked = books.get(id)!;
        const sum = sums.get(key(booked)) ?? { nanoUsd: 0, input: 0, output: 0 };
        sum.nanoUsd += booked.nanoUsd;
        sum.input += booked.inputTokens;
        sum.output += booked.outputTokens;
        sums.set(key(booked), sum);
      }
      return sums;
    };
    const groups: [string, (booked: Booked) => string][] = [
      [`'all'`, () => 'all'],
      ['Loop', ({ loop }) => loop],
      [`concat(Loop, '/', Agent)`, ({ loop, agent }) => `${loop}/${agent}`],
      ['ResponseModel', ({ model }) => model],
      [`concat(Loop, '/', RunId)`, ({ loop, run }) => `${loop}/${run}`],
    ];
    for (const [by, key] of groups) {
      const sums = await query<{ key: string; usd: number; input: number; output: number }>(
        `SELECT ${by} AS key, sum(CostUsd) AS usd, toFloat64(sum(InputTokens)) AS input,
           toFloat64(sum(OutputTokens)) AS output ${FROM} AND CostUsd IS NOT NULL GROUP BY key`,
      );
      const expected = bill(key);
      assert.deepEqual(sums.map((sum) => sum.key).sort(), [...expected.keys()].sort(), by);
      for (const { key, usd, input, output } of sums) {
        const { nanoUsd, ...tokens } = expected.get(key)!;
        assert.deepEqual({ input, output }, tokens, key);
        assert.ok(Math.abs(usd - nanoUsd / 1e9) < 0.005, `${key}: ${usd} against ${nanoUsd / 1e9}`);
      }
    }
    const runs = await query<{ key: string; usd: number | null; output: number | null; unknown: number }>(
      `SELECT concat(loop, '/', run_id) AS key, cost_usd AS usd, toFloat64(output_tokens) AS output,
         toFloat64(calls_without_usage) AS unknown FROM loopscope.runs WHERE loop IN {loops:Array(String)}`,
    );
    const byRun = bill(({ loop, run }) => `${loop}/${run}`);
    for (const { key, usd, output } of runs) {
      const expected = byRun.get(key);
      assert.equal(output, expected?.output ?? null, key);
      assert.ok(expected ? Math.abs(usd! - expected.nanoUsd / 1e9) < 0.005 : usd === null, key);
    }
    assert.equal(
      runs.reduce((sum, { unknown }) => sum + unknown, 0),
      unpriced.length,
    );
  } finally {
    agent.destroy();
    await gateway.close();
    await provider.close();
    await collector.close();
    await clickhouse.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

/** The gateway's side of the next connection that is made to it. */
function acceptedBy(port: number): Promise<Socket> {
  return new Promise((resolve) => {
    const seen = (message: unknown) => {
      const { socket } = message as { socket: Socket };
      if (socket.localPort !== port) return;
      unsubscribe('net.server.socket', seen);
      resolve(socket);
    };
    subscribe('net.server.socket', seen);
  });
}

test('a caller that leaves when the model has finished does not take the usage with it', async () => {
  const left = Promise.withResolvers<void>();
  const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
  const finished = sse(chatChunk({ content: 'four' }), chatChunk({}, 'stop'));
  const provider = await startScriptedProvider(
    stream(finished, () => left.promise, sse(chatChunk({}, null, { choices: [], usage }), '[DONE]')),
  );
  const gateway = await startTestGateway({ providerUrl: provider.url });
  const body = JSON.stringify({ model: 'gpt-4o', stream: true, messages: [{ role: 'user', content: 'hi' }] });
  try {
    const accepted = acceptedBy(Number(new URL(gateway.url).port));
    const outgoing = request(`${gateway.url}/loops/early/v1/chat/completions`, {
      method: 'POST',
      agent: false,
    });
    outgoing.end(body);
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    let text = '';
    for await (const piece of response.setEncoding('utf8')) {
      text += piece;
      if (text.includes('"finish_reason":"stop"')) break; // as many programs do, and it closes the connection
    }
    const socket = await accepted;
    if (!socket.closed) await once(socket, 'close');
    left.resolve();
    const { attributes, failed } = await gateway.callOf('early');
    assert.deepEqual([attributes[A.inputTokens], attributes[A.outputTokens]], [10, 5]);
    assert.equal(failed, false);

    // An end that does not come is not waited for.
    provider.fallback = stream(finished, () => new Promise(() => {}));
    const leaving = new AbortController();
    const { signal } = leaving;
    const answer = await fetch(`${gateway.url}/loops/endless/v1/chat/completions`, {
      method: 'POST',
      body,
      signal,
    });
    await answer.body!.getReader().read();
    leaving.abort();
    await until('the provider to be hung up on', () => provider.requests.at(-1)!.hungUp);
    assert.ok(!(A.outputTokens in (await gateway.callOf('endless')).attributes));
  } finally {
    await gateway.close();
    await provider.close();
  }
});
