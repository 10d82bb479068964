import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { A } from '../../src/span/attributes.ts';
import { recordSpanId, runTraceId } from '../../src/span/ids.ts';
import type { Store } from '../../src/store/client.ts';
import { until } from './until.ts';

export const SPANS_PER_REQUEST = 5;
const RETRY_MS = 30;

/** What a request of a run's calls looks like on the wire. */
function bodyOf(loop: string, traceId: string): string {
  const attributes = Object.entries({ [A.loop]: loop, [A.runId]: traceId, [A.record]: 'call' }).map(
    ([key, stringValue]) => ({ key, value: { stringValue } }),
  );
  const spans = Array.from({ length: SPANS_PER_REQUEST }, (_, i) => ({
    traceId,
    spanId: recordSpanId(traceId, String(i)),
    name: 'chat',
    startTimeUnixNano: '1700000000000000000',
    endTimeUnixNano: '1700000001000000000',
    attributes,
  }));
  return JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] });
}

/**
 * Clients of a collector that write down what it acknowledged. Each sends a request until it is acknowledged, as
 * OpenTelemetry's exporters do, and then the next one. Anything but 200, 503 with Retry-After and a broken connection
 * fails the campaign.
 */
export class Ledger {
  readonly loop: string;
  /** Trace ids of requests that were acknowledged. */
  readonly acknowledged: string[] = [];
  retries = 0;
  private readonly url: () => string;

  constructor(loop: string, url: () => string) {
    this.loop = loop;
    this.url = url;
  }

  /** One request, until it is acknowledged. */
  async send(name: string): Promise<void> {
    const traceId = runTraceId(this.loop, name);
    const body = bodyOf(this.loop, traceId);
    while (!(await this.sendOnce(traceId, body))) {
      this.retries++;
      await delay(RETRY_MS);
    }
  }

  /** One request, once; whether it was acknowledged. */
  async try(name: string): Promise<boolean> {
    const traceId = runTraceId(this.loop, name);
    return await this.sendOnce(traceId, bodyOf(this.loop, traceId));
  }

  private async sendOnce(traceId: string, body: string): Promise<boolean> {
    let response: Response;
    try {
      response = await fetch(`${this.url()}/v1/traces`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
    } catch {
      return false;
    }
    // The status is the answer; its body may break off with the process.
    await response.arrayBuffer().catch(() => {});
    if (response.status !== 200) {
      assert.equal(response.status, 503);
      assert.match(response.headers.get('retry-after') ?? '', /^\d+$/);
      return false;
    }
    this.acknowledged.push(traceId);
    return true;
  }

  /** Sends with `senders` clients at once for as long as `work` takes. */
  async during(senders: number, work: () => Promise<void>): Promise<void> {
    let over = false;
    const sending = Array.from({ length: senders }, async (_, sender) => {
      for (let n = 0; !over; n++) await this.send(`${sender}-${n}`);
    });
    const working = work().finally(() => {
      over = true;
    });
    await Promise.all([working, ...sending]);
  }

  /** Waits until the collector has delivered all it has. */
  async delivered(ms = 30_000): Promise<void> {
    await until(
      'all is delivered',
      async () => {
        const metrics = await (await fetch(`${this.url()}/metrics`)).text();
        if (/^loopscope_collector_spool_records 0$/m.test(metrics)) return true;
        const readiness = await (await fetch(`${this.url()}/readyz`)).text();
        throw new Error(`${readiness} ${metrics.match(/^\w+_spool_.*$/gm)?.join(' ')}`);
      },
      ms,
    );
  }

  /** Compares with what is stored: every acknowledged span once, and nothing else; also in what is derived. */
  async settle(store: Store, note: string): Promise<void> {
    const [spans, runs, places] = await Promise.all([
      store.query<{ id: string; rows: number; ids: number }>(
        `SELECT TraceId AS id, count() AS rows, uniqExact(SpanId) AS ids FROM ${store.database}.otel_traces
         WHERE Loop = {loop:String} GROUP BY id`,
        { loop: this.loop },
      ),
      store.query<{ id: string; rows: number }>(
        `SELECT run_id AS id, calls AS rows FROM ${store.database}.runs WHERE loop = {loop:String}`,
        { loop: this.loop },
      ),
      store.query<{ id: string; rows: number }>(
        `SELECT TraceId AS id, count() AS rows FROM ${store.database}.otel_traces_trace_id_ts
         WHERE TraceId IN (SELECT TraceId FROM ${store.database}.otel_traces WHERE Loop = {loop:String})
         GROUP BY id`,
        { loop: this.loop },
      ),
    ]);
    const stored = new Map(spans.map((row) => [row.id, row]));
    const calls = new Map(runs.map((row) => [row.id, row.rows]));
    const known = new Set(this.acknowledged);
    const found = {
      lost: this.acknowledged.filter((id) => (stored.get(id)?.ids ?? 0) < SPANS_PER_REQUEST),
      doubled: spans.filter(({ rows, ids }) => rows > ids).map(({ id }) => id),
      unknown: spans.filter(({ id }) => !known.has(id)).map(({ id }) => id),
      runsThatDiffer: spans.filter(({ id, ids }) => calls.get(id) !== ids).map(({ id }) => id),
      tracesTwice: places.filter(({ rows }) => rows > 1).map(({ id }) => id),
    };
    const none = { lost: [], doubled: [], unknown: [], runsThatDiffer: [], tracesTwice: [] };
    assert.deepEqual(found, none, note);
  }
}
