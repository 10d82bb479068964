import type { Logger } from 'pino';
import type { Clock } from '../src/clock.ts';
import type { Config } from '../src/config.ts';
import { LoopscopeError } from '../src/errors.ts';
import { type Prepared, type Signal, TABLES } from '../src/span/batch.ts';
import type { Files } from '../src/spool/files.ts';
import { openSpool, type Spool } from '../src/spool/spool.ts';
import type { Store } from '../src/store/client.ts';
import { REJECTIONS as SPAN_REJECTIONS } from './admit/admit.ts';
import type { Capture } from './admit/content.ts';
import type { FindLoop } from './admit/normalize.ts';
import { digestOf } from './digest.ts';
import { CollectorMetrics } from './figures.ts';
import { Imports } from './imports.ts';
import { deliverTo } from './insert/deliver.ts';
import { REJECTIONS as LOG_REJECTIONS } from './logs/admit.ts';
import { Logs } from './logs/logs.ts';
import { REJECTIONS as POINT_REJECTIONS } from './metrics/admit.ts';
import { prepareMetrics } from './metrics/metrics.ts';
import type { Answer } from './receive/answer.ts';
import { type GrpcReceiver, startGrpcReceiver } from './receive/grpc.ts';
import { Intake } from './receive/intake.ts';
import type { ExportRequest, Readiness } from './receive/options.ts';
import { type Receiver, startReceiver } from './receive/receive.ts';
import { readCertificate } from './receive/tls.ts';
import { Traces } from './traces.ts';

/**
 * The collector: receive → decode → admit → spool → insert. A stage knows none of the others; this file is where they
 * meet. What it answers with success is in the spool, on disk, and will be in ClickHouse exactly once.
 */
export interface CollectorOptions {
  config: {
    collector: Pick<Config['collector'], 'host' | 'port' | 'grpc_port' | 'spool'> &
      Partial<Pick<Config['collector'], 'token' | 'token_env' | 'tls'>>;
  };
  /** Where the spool is. */
  folder: string;
  store: Store;
  clock: Clock;
  log: Logger;
  /** What is kept of a loop's prompts and answers; all where this is not given. */
  capture?: (loop: string) => Capture;
  /** What the registry knows of a loop; without it spans of other conventions do not say whether theirs is registered. */
  findLoop?: FindLoop;
  /** Why nothing may be inserted yet, while the store is made ready; what comes stays in the spool. */
  whyStoreUnready?: (() => string | undefined) | undefined;
  /** Bounds for tests to reach; `LIMITS` where not given. */
  bodyBytesMax?: number;
  pendingBytesMax?: number;
  queueMsMax?: number;
  /** The spool's disk; a test puts faults between. */
  files?: Files;
}

export interface Collector {
  /** OTLP over HTTP, and health, readiness and figures. */
  url: string;
  grpcUrl: string;
  /** Resolves when everything acknowledged so far is in ClickHouse. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

const RETRY_AFTER_S = 1;
/** A spool that is this full is full: what comes is refused before it is decoded in vain. */
const SPOOL_FULL_SHARE = 0.99;
/** At the end the spool is given this long to empty itself. */
const DRAIN_MS = 5_000;

/**
 * Starts it on `config.collector`'s host and ports. Throws `port_in_use`, `config_invalid` for token or certificate, or
 * `data_dir_in_use` for the spool.
 */
export async function startCollector(options: CollectorOptions): Promise<Collector> {
  const { config, folder, store, clock, log, bodyBytesMax } = options;
  const { token, token_env, tls } = config.collector;
  if (token_env !== undefined && token === undefined)
    throw new LoopscopeError(
      'config_invalid',
      `collector.token_env: the environment has no ${token_env}. Set it to the token, or take the setting out to let anyone send.`,
    );
  const certificate = tls && readCertificate(tls);
  const metrics = new CollectorMetrics();
  const { findLoop, capture = () => 'full' } = options;
  const traces = new Traces({ clock, capture, findLoop });
  const logs = new Logs({
    clock,
    capture,
    findLoop,
    prepareSpans: (spans, messages) => traces.prepareAdmitted({ spans, messages, rejected: {}, cut: {} }),
  });
  const prepare: Record<Signal, (request: ExportRequest) => Prepared> = {
    traces: ({ body, encoding }) => traces.prepare(body, encoding),
    logs: ({ body, encoding }) => logs.prepare(body, encoding),
    metrics: ({ body, encoding }) => prepareMetrics(body, encoding),
  };
  const { commit_ms, durability, bytes_max, age_max_h } = config.collector.spool;
  const spool = await openSpool({
    folder,
    clock,
    log,
    commitMs: commit_ms,
    durability,
    files: options.files,
    bytesMax: bytes_max,
    ageMsMax: age_max_h * 3_600_000,
    tables: TABLES,
    deliver: deliverTo({
      store,
      clock,
      whyUnready: options.whyStoreUnready,
      onInsert: (table, rows, seconds) => {
        metrics.inserted(table, rows, seconds);
        if (table === 'otel_traces') metrics.stored(rows);
      },
    }),
  });

  const imports = new Imports({
    spool,
    store,
    clock,
    traces,
    keep: (digest, prepared, storedBefore) => {
      count('traces', prepared);
      metrics.acknowledged('traces', 0, storedBefore);
      return keep('traces', digest, prepared);
    },
    onRefused: (spans) => metrics.refused('traces', 'store_unavailable', spans),
  });

  async function accept(request: ExportRequest): Promise<Answer> {
    try {
      if (request.repeatable && request.signal === 'traces') return await imports.take(request);
      const { signal } = request;
      const prepared = prepare[signal](request);
      count(signal, prepared);
      return await keep(signal, digestOf(signal, request.body), prepared);
    } catch (error) {
      if (!(error instanceof LoopscopeError)) throw error;
      return { kind: 'refused', status: error.status, message: error.message };
    }
  }

  function count(signal: Signal, { items, rejected, cut }: Prepared): void {
    metrics.received(signal, items + sum(rejected));
    for (const [what, times] of Object.entries(cut)) metrics.cut(what, times!);
  }

  async function keep(signal: Signal, digest: string, prepared: Prepared): Promise<Answer> {
    const { chunks, items, rejected } = prepared;
    if (items > 0) {
      const outcome = await spool.append(digest, chunks);
      if (outcome.kind === 'kept') {
        prepared.kept();
        metrics.acknowledged(signal, items, 0);
      } else if (outcome.kind === 'repeated') metrics.acknowledged(signal, 0, items);
      else {
        metrics.refused(signal, `spool_${outcome.kind}`, items);
        const { message } = outcome;
        return outcome.kind === 'too_large'
          ? { kind: 'refused', status: 413, message }
          : { kind: 'refused', status: 503, message, retryAfterS: RETRY_AFTER_S };
      }
    }
    for (const [reason, n] of Object.entries(rejected)) metrics.rejected(signal, reason, n!);
    return stored(rejected);
  }

  async function readiness(): Promise<Readiness> {
    const reasons = (await store.ping()) ? [] : [`ClickHouse at ${store.url} does not answer`];
    const trouble = spool.trouble();
    if (trouble !== undefined) reasons.push(`The spool is not delivered: ${trouble}`);
    return { ready: true, reasons }; // spans are taken all the same: that is what the spool is for
  }

  const whyNotKept = () =>
    spool.figures().bytes > SPOOL_FULL_SHARE * bytes_max
      ? `The spool is full (${bytes_max} bytes): ClickHouse does not keep up.`
      : undefined;
  const { pendingBytesMax, queueMsMax } = options;
  const intake = new Intake({ clock, whyNotKept, pendingBytesMax, queueMsMax });
  const { host, port, grpc_port } = config.collector;
  const shared = {
    host,
    token,
    certificate,
    log,
    random: clock.random,
    accept,
    onAnswer: metrics.request.bind(metrics),
    bodyBytesMax,
    intake,
  };
  let receiver: Receiver | undefined;
  let grpcReceiver: GrpcReceiver;
  try {
    receiver = await startReceiver({
      ...shared,
      port,
      readiness,
      metrics: () =>
        metrics.text({
          pending_bytes: intake.pending.bytes,
          decode_wait_seconds: intake.waitMs / 1000,
          ...spoolFigures(spool),
        }),
    });
    grpcReceiver = await startGrpcReceiver({ ...shared, port: grpc_port });
  } catch (error) {
    await receiver?.close();
    await spool.close(0);
    throw error;
  }
  const { url } = receiver;
  log.info({ url, grpcUrl: grpcReceiver.url }, 'collector listens');
  return {
    url,
    grpcUrl: grpcReceiver.url,
    flush: () => spool.flush(),
    close: async () => {
      await Promise.all([receiver.close(), grpcReceiver.close()]);
      await spool.close(DRAIN_MS);
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

const sum = (counts: Prepared['rejected']) => Object.values(counts).reduce<number>((a, n) => a + n!, 0);

const REJECTIONS: Record<string, string> = { ...SPAN_REJECTIONS, ...LOG_REJECTIONS, ...POINT_REJECTIONS };

function stored(rejected: Prepared['rejected']): Answer {
  const reasons = Object.entries(rejected);
  if (reasons.length === 0) return { kind: 'stored', rejected: 0, message: '' };
  const why = reasons.map(([reason, n]) => `${n} because ${REJECTIONS[reason]}`);
  return { kind: 'stored', rejected: sum(rejected), message: `Not taken: ${why.join(', ')}.` };
}
