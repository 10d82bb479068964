import type { Logger } from 'pino';
import type { Clock } from '../../clock.ts';
import type { Config } from '../../config.ts';
import type { Chunk } from '../../spool/chunk.ts';
import { writingAtOnce } from '../../spool/files.ts';
import { openSpool, type SpoolFigures } from '../../spool/spool.ts';
import { UnderWay } from '../under-way.ts';
import { type CollectorAddress, type DeliverFigures, deliverToCollector } from './deliver.ts';
import type { Elsewhere } from './elsewhere.ts';
import { OtlpEncoder } from './otlp.ts';
import type { Attributes, SpanDraft } from './span-draft.ts';

/**
 * Spans of the gateway: on its disk first, in a spool of its own, and from there to a collector, each once. An answer's
 * last byte waits for that, so that whoever has an answer has its span: nothing is lost by a kill of the gateway, or while
 * collector and ClickHouse are away.
 *
 * By default what is written is not forced to the disk: it survives the end of the process at any moment, and a power cut
 * may take the last seconds. `gateway.spool.durability: power_loss` forces it, and every answer waits for the disk.
 */
export interface RecorderOptions {
  folder: string;
  collector: CollectorAddress;
  spool: Config['gateway']['spool'];
  /** What spans say of who made them. */
  resource: Attributes;
  /** Where else spans go, at once and without a promise. */
  elsewhere?: Elsewhere | undefined;
  clock: Clock;
  log: Logger;
}

export interface RecorderFigures extends DeliverFigures {
  spool: SpoolFigures;
  /** Spans that could not be written. */
  unwritten: number;
}

export interface Recorder {
  /**
   * Whether the spans are on disk: at once where the disk takes them at once. Spans that are recorded together are
   * delivered together, as far as they are not large.
   */
  record(spans: readonly SpanDraft[]): boolean | Promise<boolean>;
  /** Why no span can be kept now; `undefined` while it can. */
  whyNot(): string | undefined;
  /** Why nothing is delivered now; `undefined` when all is well. */
  trouble(): string | undefined;
  /** Resolves when the collector has every span that is recorded now. */
  flush(): Promise<void>;
  figures(): RecorderFigures;
  /** Delivers for at most `drainMs` more; what remains stays on disk, for the next one that opens the folder. */
  close(drainMs: number): Promise<void>;
}

const SCOPE = 'loopscope.gateway';
const TABLE = 'otel_traces';
/** What is full is refused before a provider is paid for an answer that cannot leave. */
const FULL_SHARE = 0.95;
/** A disk that fails is asked again this many times, in a new segment each time. */
const TRIES_MAX = 5;
const RETRY_MS = 50;
/** A call waits while a batch is put together: with this some milliseconds, again and again while no collector takes it. */
const BATCH_BYTES_MAX = 2_000_000;
/**
 * What waits is copied by each small garbage collection, and what waits through two of them lasts until a full one: at 9,000
 * calls a second small ones took half the time, and the heap grew a fifth as fast, as with 50 ms.
 */
const COMPANY_MS = 10;
/** Some batches. While a collector is away more would only be more for the garbage collector to look through. */
const RECENT_BYTES_MAX = 4 * BATCH_BYTES_MAX;
/** To remove one of 64 MB kept the only core from calls for 11 ms, every other second at full load. */
const SEGMENT_BYTES_MAX = 8 * 1024 * 1024;
/** What a collector refuses for its size takes no other with it. */
const TOGETHER_BYTES_MAX = 256 * 1024;

/** Throws `data_dir_in_use` where another gateway has the folder. */
export async function openRecorder(options: RecorderOptions): Promise<Recorder> {
  const { folder, collector, spool: settings, resource, elsewhere, clock, log } = options;
  const encoder = new OtlpEncoder(resource, SCOPE);
  const delivery: DeliverFigures = { delivered: 0, failed: 0, rejected: 0 };
  let unwritten = 0;
  const line = deliverToCollector(collector, delivery);
  const spool = await openSpool({
    folder,
    clock,
    log,
    // Nobody waits for company.
    commitMs: 0,
    durability: settings.durability,
    files: settings.durability === 'process_crash' ? writingAtOnce : undefined,
    bytesMax: settings.bytes_max,
    ageMsMax: Number.POSITIVE_INFINITY,
    rememberMs: 0,
    tables: [TABLE],
    batchBytesMax: BATCH_BYTES_MAX,
    companyMs: COMPANY_MS,
    recentBytesMax: RECENT_BYTES_MAX,
    segmentBytesMax: SEGMENT_BYTES_MAX,
    onLeft: (chunks) => {
      for (const { bytes } of chunks) encoder.release(bytes);
    },
    deliver: async (insert, isRepeat) => {
      const delivery = await line.deliver(insert, isRepeat);
      if (delivery.kind === 'stored') for (const bytes of insert.bodies) encoder.release(bytes);
      return delivery;
    },
  });
  /** Those from `first` on. */
  const write = (spans: readonly SpanDraft[], first = 0): boolean | Promise<boolean> => {
    let isKept = true;
    for (let at = first; at < spans.length; ) {
      const { bytes, end } = encoder.encode(spans, at, TOGETHER_BYTES_MAX);
      const kept = keep({ table: TABLE, format: 'OTLP', rows: end - at, partitions: [], bytes });
      if (kept instanceof Promise) return both(isKept, kept, end, spans);
      isKept &&= kept;
      at = end;
    }
    return isKept;
  };
  const both = async (before: boolean, kept: Promise<boolean>, end: number, spans: readonly SpanDraft[]) => {
    const all = [before, await kept, await write(spans, end)];
    return !all.includes(false);
  };
  const keep = (chunk: Chunk): boolean | Promise<boolean> => {
    const kept = append(chunk);
    return !(kept instanceof Promise) && kept.kind === 'kept' ? true : insist(chunk, kept);
  };
  // The digest is not of what is in it: the same statement twice is two records.
  const append = (chunk: Chunk) => spool.append(clock.randomHex(32), [chunk]);
  const insist = async (chunk: Chunk, first: ReturnType<typeof append>): Promise<boolean> => {
    let kept = await first;
    for (let n = 1; kept.kind === 'disk_failed' && n < TRIES_MAX; n++) {
      await clock.sleep(RETRY_MS);
      kept = await append(chunk);
    }
    if (kept.kind === 'kept' || kept.kind === 'repeated') return true;
    unwritten += chunk.rows;
    log.error({ reason: kept.message, spans: chunk.rows }, 'spans could not be written');
    return false;
  };
  const underWay = new UnderWay();
  return {
    record: (spans) => {
      if (elsewhere) for (const span of spans) elsewhere.emit(span);
      const written = write(spans);
      if (!(written instanceof Promise)) return written;
      underWay.begin();
      return written.finally(() => underWay.end());
    },
    whyNot: () => {
      const { bytes } = spool.figures();
      return bytes > FULL_SHARE * settings.bytes_max
        ? `The gateway's spool is full (${settings.bytes_max} bytes): ${spool.trouble() ?? 'the collector does not keep up.'}`
        : undefined;
    },
    trouble: () => spool.trouble(),
    flush: () => spool.flush(),
    figures: () => ({ ...delivery, unwritten, spool: spool.figures() }),
    close: async (drainMs) => {
      await underWay.none();
      await spool.close(drainMs);
      await line.close();
      await elsewhere?.close(drainMs);
    },
  };
}
