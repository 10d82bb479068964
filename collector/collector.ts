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
import { deliverTo } from './insert/deliver.ts';
import { startInsert } from './insert/insert.ts';
import { Preparation } from './insert/prepare.ts';
import { CollectorMetrics } from './metrics.ts';
import type { Answer } from './receive/answer.ts';
import { type ExportRequest, type Readiness, type Receiver, startReceiver } from './receive/receive.ts';
import { openSpool, type Spool } from './spool/spool.ts';

/**
 * The collector: receive → decode → admit → spool → insert. A stage knows none of the others; this file is where they
 * meet. What it answers with success is in the spool, on disk, and will be in ClickHouse; or it is there already, where
 * there is no spool, and for an import, which wants to look at what it loaded.
 */
export interface CollectorOptions {
  config: { collector: Pick<Config['collector'], 'host' | 'port'> };
  /** The folder of the spool and its settings; without one a request is answered when ClickHouse has stored it. */
  spool?: Config['collector']['spool'] & { folder: string };
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
  /** Resolves when everything acknowledged so far is in ClickHouse. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

const RETRY_AFTER_S = 1;
/** An import waits this long for what was taken before it. */
const IMPORT_WAIT_MS = 8_000;
/** At the end the spool is given this long to empty itself. */
const DRAIN_MS = 5_000;

/** Starts it on `config.collector`'s host and port. Throws `port_in_use`, or `data_dir_in_use` for the spool. */
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
  const preparation = new Preparation(clock);
  const spool = await startSpool();

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

    const digest = createHash('sha256').update(body).digest('hex');
    const refusal =
      spool && !repeatable
        ? await keep(spool, digest, admitted)
        : await storeNow(digest, repeatable, admitted);
    if (refusal) return refusal;
    for (const [reason, n] of Object.entries(admitted.rejected)) metrics.rejected(reason, n);
    return { kind: 'stored', ...rejections(admitted.rejected) };
  }

  /** Into the spool; gives the answer when that is a refusal. */
  async function keep(
    into: Spool,
    digest: string,
    { spans, messages }: Admitted,
  ): Promise<Answer | undefined> {
    if (spans.length === 0) return undefined;
    const outcome = await into.append(digest, preparation.prepare(spans, messages));
    if (outcome.kind === 'kept') {
      preparation.kept(messages);
      metrics.acknowledged(spans.length, 0);
    } else if (outcome.kind === 'repeated') metrics.acknowledged(0, spans.length);
    else {
      metrics.refused(`spool_${outcome.kind}`, spans.length);
      const { message } = outcome;
      return outcome.kind === 'too_large'
        ? { kind: 'refused', status: 413, message }
        : { kind: 'refused', status: 503, message, retryAfterS: RETRY_AFTER_S };
    }
    return undefined;
  }

  /** Into ClickHouse; gives the answer when that is a refusal. */
  async function storeNow(
    digest: string,
    repeatable: boolean,
    { spans, messages }: Admitted,
  ): Promise<Answer | undefined> {
    const unavailable = (message: string): Answer => {
      metrics.refused('store_unavailable', spans.length);
      return { kind: 'refused', status: 503, message, retryAfterS: RETRY_AFTER_S };
    };
    try {
      await spool?.flush(AbortSignal.timeout(IMPORT_WAIT_MS)); // what is stored can only be told when all of it is
    } catch {
      return unavailable(
        `What was sent before is not in ClickHouse yet: ${spool?.trouble() ?? 'it is slow'}.`,
      );
    }
    const outcome = await insert.add({ spans, messages, digest, repeatable });
    if (outcome.kind === 'unavailable') return unavailable(outcome.message);
    if (outcome.kind === 'rejected') {
      metrics.refused('store_rejected', spans.length);
      return { kind: 'refused', status: 500, message: outcome.message };
    }
    metrics.stored(spans.length, outcome.repeatedSpans);
    return undefined;
  }

  async function startSpool(): Promise<Spool | undefined> {
    if (!options.spool) return undefined;
    const { folder, commit_ms, durability, bytes_max } = options.spool;
    return await openSpool({
      folder,
      clock,
      log,
      commitMs: commit_ms,
      durability,
      bytesMax: bytes_max,
      deliver: deliverTo({
        store,
        clock,
        onInsert: (table, rows, seconds) => {
          metrics.inserted(table, rows, seconds);
          if (table === 'otel_traces') metrics.stored(rows, 0);
        },
      }),
    });
  }

  async function readiness(): Promise<Readiness> {
    const reasons = (await store.ping()) ? [] : [`ClickHouse at ${store.url} does not answer`];
    const trouble = spool?.trouble();
    if (trouble !== undefined) reasons.push(`The spool is not delivered: ${trouble}`);
    // With a spool spans are taken all the same: that is what it is for.
    return { ready: spool !== undefined || reasons.length === 0, reasons };
  }

  const receiver: Receiver = await startReceiver({
    ...config.collector,
    log,
    accept,
    readiness,
    metrics: () =>
      metrics.text({ pending_bytes: receiver.pendingBytes(), ...(spool && spoolFigures(spool)) }),
    onAnswer: metrics.request.bind(metrics),
    bodyBytesMax,
    pendingBytesMax,
  }).catch(async (error) => {
    await spool?.close(0);
    throw error;
  });
  log.info({ url: receiver.url }, 'collector listens');
  return {
    url: receiver.url,
    flush: async () => {
      await spool?.flush();
    },
    close: async () => {
      await receiver.close();
      await insert.drain();
      await spool?.close(DRAIN_MS);
    },
  };
}

function spoolFigures(spool: Spool): Record<string, number> {
  const { bytes, records, oldestUnsentS, commits, diskErrors, setAside } = spool.figures();
  return {
    spool_bytes: bytes,
    spool_records: records,
    spool_oldest_unsent_seconds: oldestUnsentS,
    spool_commits_total: commits,
    spool_disk_errors_total: diskErrors,
    ...Object.fromEntries(
      Object.entries(setAside).map(([reason, n]) => [`spool_set_aside_total{reason="${reason}"}`, n]),
    ),
  };
}

function rejections(rejected: Admitted['rejected']): { rejectedSpans: number; message: string } {
  const reasons = Object.entries(rejected) as [Rejection, number][];
  if (reasons.length === 0) return { rejectedSpans: 0, message: '' };
  const rejectedSpans = reasons.reduce((sum, [, n]) => sum + n, 0);
  const why = reasons.map(([reason, n]) => `${n} because ${REJECTIONS[reason]}`).join(', ');
  return { rejectedSpans, message: `Not taken: ${why}.` };
}
