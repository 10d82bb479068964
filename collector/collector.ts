import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import type { Clock } from '../src/clock.ts';
import type { Config } from '../src/config.ts';
import { LoopscopeError } from '../src/errors.ts';
import type { Span } from '../src/span/span.ts';
import type { Store } from '../src/store/client.ts';
import { type Admitted, admit, REJECTIONS, type Rejection } from './admit/admit.ts';
import type { Capture } from './admit/content.ts';
import type { FindLoop } from './admit/normalize.ts';
import { decode } from './decode/decode.ts';
import { startInsert } from './insert/insert.ts';
import { CollectorMetrics } from './metrics.ts';
import type { Answer } from './receive/answer.ts';
import { type ExportRequest, startReceiver } from './receive/receive.ts';

/**
 * The collector: receive → decode → admit → insert. A stage knows none of the others; this file is where they meet.
 * What it answers with success is stored.
 */
export interface CollectorOptions {
  config: Pick<Config, 'collector'>;
  store: Store;
  clock: Clock;
  log: Logger;
  /** What is kept of a loop's prompts and answers; all where this is not given. */
  capture?: (loop: string) => Capture;
  /** What the registry knows of a loop; without it spans of other conventions do not say whether theirs is registered. */
  findLoop?: FindLoop;
  /** Bounds for tests to reach; `LIMITS` where not given. */
  bodyBytesMax?: number;
  pendingBytesMax?: number;
}

export interface Collector {
  url: string;
  close(): Promise<void>;
}

const RETRY_AFTER_S = 1;

/** Starts it on `config.collector`'s host and port. Throws `port_in_use`. */
export async function startCollector(options: CollectorOptions): Promise<Collector> {
  const {
    config,
    store,
    clock,
    log,
    capture = () => 'full',
    findLoop,
    bodyBytesMax,
    pendingBytesMax,
  } = options;
  const metrics = new CollectorMetrics();
  const insert = startInsert({ store, clock, log, onInsert: metrics.inserted.bind(metrics) });

  async function accept({ body, encoding, repeatable }: ExportRequest): Promise<Answer> {
    let spans: Span[];
    try {
      spans = decode(body, encoding);
    } catch (error) {
      if (!(error instanceof LoopscopeError)) throw error;
      return { kind: 'refused', status: error.status, message: error.message };
    }
    metrics.received(spans.length);
    const admitted = admit(spans, capture, findLoop);
    for (const [what, times] of Object.entries(admitted.cut)) metrics.cut(what, times);

    const outcome = await insert.add({
      spans: admitted.spans,
      messages: admitted.messages,
      digest: createHash('sha256').update(body).digest('hex'),
      repeatable,
    });
    if (outcome.kind === 'unavailable') {
      metrics.refused('store_unavailable', spans.length);
      return { kind: 'refused', status: 503, message: outcome.message, retryAfterS: RETRY_AFTER_S };
    }
    if (outcome.kind === 'rejected') {
      metrics.refused('store_rejected', spans.length);
      return { kind: 'refused', status: 500, message: outcome.message };
    }
    metrics.stored(admitted.spans.length, outcome.repeatedSpans);
    for (const [reason, n] of Object.entries(admitted.rejected)) metrics.rejected(reason, n);
    return { kind: 'stored', ...rejections(admitted.rejected) };
  }

  const receiver = await startReceiver({
    ...config.collector,
    log,
    accept,
    notReady: async () => ((await store.ping()) ? undefined : `ClickHouse at ${store.url} does not answer`),
    metrics: () => metrics.text(receiver.pendingBytes()),
    onAnswer: metrics.request.bind(metrics),
    bodyBytesMax,
    pendingBytesMax,
  });
  log.info({ url: receiver.url }, 'collector listens');
  return {
    url: receiver.url,
    close: async () => {
      await receiver.close();
      await insert.drain();
    },
  };
}

function rejections(rejected: Admitted['rejected']): { rejectedSpans: number; message: string } {
  const reasons = Object.entries(rejected) as [Rejection, number][];
  if (reasons.length === 0) return { rejectedSpans: 0, message: '' };
  const rejectedSpans = reasons.reduce((sum, [, n]) => sum + n, 0);
  const why = reasons.map(([reason, n]) => `${n} because ${REJECTIONS[reason]}`).join(', ');
  return { rejectedSpans, message: `Not taken: ${why}.` };
}
