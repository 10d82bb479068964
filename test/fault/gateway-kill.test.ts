import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { seededRandom } from '../../src/clock.ts';
import { cycles, SEED } from '../support/campaign.ts';
import { startTestCollector } from '../support/collector.ts';
import type { GatewayChildSettings } from '../support/gateway-child.ts';
import { MortalProcess } from '../support/mortal-process.ts';
import { chatCompletion, json, startScriptedProvider, stream } from '../support/scripted-provider.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

/** `kill -9` of the gateway under load: who has an answer to its last byte has its span in ClickHouse, once. */
const CYCLES = cycles(100);
const CALLERS = 6;
const LOOP = 'gateway-killed';

/** Whether the answer came to its last byte; of a stream, to its last event, whatever becomes of the connection. */
function call(url: string, run: string, isStream: boolean): Promise<boolean> {
  return new Promise((resolve) => {
    const outgoing = request(
      `${url}/loops/${LOOP}/v1/chat/completions`,
      { method: 'POST', headers: { 'content-type': 'application/json', 'x-loop-run': run } },
      (response) => {
        let text = '';
        let hasLastEvent = false;
        response.setEncoding('utf8');
        response.on('data', (piece: string) => {
          text += piece;
          hasLastEvent ||= isStream && text.includes('data: [DONE]\n\n');
        });
        response.on('end', () => resolve(response.statusCode === 200));
        response.on('error', () => resolve(hasLastEvent));
      },
    );
    outgoing.on('error', () => resolve(false));
    outgoing.end(
      JSON.stringify({ model: 'gpt-4o', stream: isStream, messages: [{ role: 'user', content: run }] }),
    );
  });
}

const event = (delta: object, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: 'c', model: 'gpt-4o-2024-08-06', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;

test(`a gateway killed ${CYCLES} times lets no answer go whose span could be lost (seed ${SEED})`, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-gateway-kill-'));
  const clickhouse = await startTestStore();
  const collector = await startTestCollector({ store: clickhouse.store });
  const whole = json(chatCompletion('fine'));
  const streamed = stream(event({ content: 'fi' }), event({ content: 'ne' }, 'stop'), 'data: [DONE]\n\n');
  const provider = await startScriptedProvider((response, asked) =>
    (asked.body.includes('"stream":true') ? streamed : whole)(response, asked),
  );
  const gateway = new MortalProcess<GatewayChildSettings>('gateway-child.ts', {
    providerUrl: provider.url,
    collectorUrl: collector.url,
    folder,
    port: 0,
  });
  const random = seededRandom(SEED);
  const answered: string[] = [];
  let unanswered = 0;
  let isOver = false;
  try {
    await gateway.start();
    const callers = Array.from({ length: CALLERS }, async (_, caller) => {
      for (let n = 0; !isOver; n++) {
        const run = `r-${caller}-${n}`;
        if (await call(gateway.url, run, caller % 2 === 1)) answered.push(run);
        else {
          unanswered++;
          await delay(20); // it is being restarted
        }
      }
    });
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      // Mostly in the middle of work, now and then while it starts and delivers what was left.
      const before = answered.length;
      if (random() < 0.8) await until('answers', () => answered.length > before + CALLERS, 60_000);
      await delay(random() ** 2 * 200);
      await gateway.kill();
      await gateway.start();
    }
    isOver = true;
    await Promise.all(callers);
    await until(
      'the gateway has delivered all',
      async () =>
        /^loopscope_gateway_spool_records 0$/m.test(await (await fetch(`${gateway.url}/metrics`)).text()),
      60_000,
    );
    await collector.flush();
    const rows = await clickhouse.store.query<{ run: string; spans: number; ids: number }>(
      `SELECT RunId AS run, count() AS spans, uniqExact(SpanId) AS ids FROM loopscope.otel_traces
       WHERE Loop = {loop:String} AND Record = 'call' GROUP BY run`,
      { loop: LOOP },
    );
    const spans = new Map(rows.map((row) => [row.run, row]));
    const figures = `${CYCLES} kills, ${answered.length} answers, ${unanswered} calls without one, seed ${SEED}`;
    process.stderr.write(`# ${LOOP}: ${figures}\n`);
    assert.deepEqual(
      answered.filter((run) => spans.get(run)?.ids !== 1),
      [],
      `answers without a span (${figures})`,
    );
    assert.deepEqual(
      rows.filter((row) => row.spans > row.ids),
      [],
      `spans that are there twice (${figures})`,
    );
    assert.ok(unanswered > 0 && answered.length > CYCLES, figures);
  } finally {
    await gateway.close();
    await provider.close();
    await collector.close();
    await clickhouse.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
