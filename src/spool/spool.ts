import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { Chunk } from './chunk.ts';
import { type Cursor, CursorFile } from './cursor.ts';
import { type Deliver, Deliverer } from './deliver.ts';
import { Digests, REMEMBERED_MS } from './digests.ts';
import { type Files, nodeFiles, readRange, using, withoutSync } from './files.ts';
import { lockFolder } from './lock.ts';
import { SpoolLog } from './log.ts';
import { type Payload, payloadOf, RECORD_HEADER_BYTES } from './record.ts';
import { recover } from './recover.ts';
import {
  decodeSegmentHeader,
  numberIn,
  SEGMENT_HEADER_BYTES,
  SEGMENT_VERSION,
  segmentPath,
} from './segment.ts';
import { SetAside } from './set-aside.ts';

/**
 * The spool: requests on disk between the answer to their sender and where they are delivered: of the collector that is
 * ClickHouse, of the gateway a collector.
 *
 *   append → log (segments, group commit) → answer
 *                 │
 *                 └→ deliverer (cursor) → insert, with a token a batch → segment removed
 *
 * What holds, whatever ends the process and when:
 * - **Acknowledged is on disk.** `append` says `kept` after an fdatasync of the request's record (`durability:
 *   power_loss`; under `process_crash` after the write, which a power cut can undo).
 * - **On disk is delivered.** The cursor passes a record when its receiver confirmed it, or it was set aside and counted.
 * - **Delivered once.** A batch's bounds are durable before it is first sent, and its token follows from them.
 * - **Taken once.** The digest of a request is in its record; the same request again is confirmed and not kept.
 * - **Nothing stops what follows**: a record that does not check or that ClickHouse rejects goes to `rejected/`.
 * - **Bounded**: past `bytesMax`, or with the oldest record older than `ageMsMax`, nothing is taken.
 */
export interface SpoolOptions {
  folder: string;
  clock: Clock;
  log: Logger;
  /** Group commit: the disk is forced at most once in this time. */
  commitMs: number;
  durability: Durability;
  bytesMax: number;
  ageMsMax: number;
  segmentBytesMax?: number;
  /** So much of what was written last stays in memory until it is delivered; the rest is read back. */
  recentBytesMax?: number;
  /** Told of chunks whose memory is not needed until they are delivered: they will be read back. */
  onLeft?: (chunks: readonly Chunk[]) => void;
  /** How long a request is known when it comes again; 0 where no sender comes again. */
  rememberMs?: number;
  /** What chunks are for, in the order they are written: rows of the others may refer to rows of the first. */
  tables: readonly string[];
  /** Bytes that are delivered in one go; as many as a large insert has where not given. */
  batchBytesMax?: number;
  /** For how long a record waits for company; as long as an insert needs it where not given. */
  companyMs?: number;
  /** Inserts rows, once for one token. */
  deliver: Deliver;
  /** Where the disk is; a test puts faults between. */
  files?: Files;
}

/** What acknowledged requests survive. `process_crash` saves the wait for the disk, and a power cut loses the last seconds. */
export type Durability = 'power_loss' | 'process_crash';

export type Kept =
  | { kind: 'kept' }
  /** It is here, or was: a sender that missed its answer. */
  | { kind: 'repeated' }
  | { kind: 'full'; message: string }
  | { kind: 'too_large'; message: string }
  | { kind: 'disk_failed'; message: string };

export interface SpoolFigures {
  bytes: number;
  records: number;
  /** Age of the oldest record not delivered; 0 when all are. */
  oldestUnsentS: number;
  commits: number;
  diskErrors: number;
  /** Records, or files, that were not delivered, by reason. */
  setAside: Readonly<Record<string, number>>;
}

export interface Spool {
  /** At once where the disk takes it at once, and where it is refused. */
  append(digest: string, chunks: readonly Chunk[]): Kept | Promise<Kept>;
  /** Resolves when all that is acknowledged now is delivered. Rejects with the signal's reason. */
  flush(signal?: AbortSignal): Promise<void>;
  /** Why nothing is delivered now; `undefined` when all is well. */
  trouble(): string | undefined;
  figures(): SpoolFigures;
  /** Delivers for at most `drainMs` more and lets go of the folder; what remains stays in it. */
  close(drainMs: number): Promise<void>;
}

const KEPT: Kept = { kind: 'kept' };

const diskFailed = (error: Error): Kept => ({
  kind: 'disk_failed',
  message: `The spool could not be written (${error.message}).`,
});

const hours = (ms: number) => (ms / 3_600_000).toFixed(1);

const COMPANY_MS = 50;
const RECENT_BYTES_MAX = 24_000_000;
const SEGMENT_BYTES_MAX = 64 * 1024 * 1024;

/** Opens the spool in a folder, takes up where the last process ended, and delivers. Throws `data_dir_in_use`. */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const { folder, clock, log, bytesMax, ageMsMax, rememberMs = REMEMBERED_MS } = options;
  const own = options.files ?? nodeFiles;
  const files = options.durability === 'process_crash' ? withoutSync(own) : own;
  const setAsideCounts: Record<string, number> = {};
  let diskErrors = 0;
  let commits = 0;
  const countSetAside = (reason: string, n: number) => {
    setAsideCounts[reason] = (setAsideCounts[reason] ?? 0) + n;
    log.warn({ reason, n }, 'spool: not delivered');
  };
  const onError = (error: unknown) => {
    diskErrors++;
    log.error({ error: (error as Error).message }, 'spool: the disk failed');
  };

  await files.makeFolder(folder);
  const lock = await lockFolder(folder);
  let cursorFile: CursorFile | undefined;
  try {
    const setAside = new SetAside(files, folder);
    await setAside.open();
    const digests = new Digests(files, folder, clock, rememberMs);
    const opened = await CursorFile.open(files, folder);
    cursorFile = opened.file;
    const cursor = opened.cursor ?? (await firstCursor());
    if (!opened.cursor) await cursorFile.save(cursor);
    const found = await recover({ files, folder, cursor, digests, setAside, count: countSetAside });

    const segmentBytesMax = Math.min(options.segmentBytesMax ?? SEGMENT_BYTES_MAX, Math.ceil(bytesMax / 8));
    const spoolLog: SpoolLog = new SpoolLog(
      {
        files,
        folder,
        spoolId: cursor.spoolId,
        clock,
        commitMs: options.commitMs,
        segmentBytesMax,
        recentBytesMax: options.recentBytesMax ?? RECENT_BYTES_MAX,
        onLeft: options.onLeft ?? (() => {}),
        onCommit: (records) => {
          commits++;
          deliverer.committed(records);
        },
        onError,
      },
      found,
    );
    const deliverer: Deliverer = new Deliverer(
      {
        files,
        folder,
        clock,
        tables: options.tables,
        deliver: options.deliver,
        batchBytesMax: options.batchBytesMax,
        companyMs: options.companyMs ?? COMPANY_MS,
        digests,
        setAside,
        onSetAside: countSetAside,
        onError,
      },
      spoolLog,
      cursorFile,
      { cursor, ...found },
    );
    deliverer.start();
    const underWay = new Map<string, Promise<Kept>>();
    let closed = false;

    const oldestUnsentMs = () => (deliverer.oldestMs === undefined ? 0 : clock.now() - deliverer.oldestMs);

    const refusal = (payload: Payload | undefined): Kept | undefined => {
      if (!payload)
        return { kind: 'too_large', message: 'The request is larger than the spool takes in one piece.' };
      if (closed) return { kind: 'full', message: 'The collector is stopping.' };
      if (spoolLog.bytes + payload.length + RECORD_HEADER_BYTES > bytesMax)
        return {
          kind: 'full',
          message: `The spool is full (${bytesMax} bytes): ClickHouse does not keep up.`,
        };
      if (oldestUnsentMs() > ageMsMax)
        return {
          kind: 'full',
          message: `The spool takes no more: its oldest request has waited ${hours(oldestUnsentMs())} h for ClickHouse, and ${hours(ageMsMax)} h is what it may (age_max_h).`,
        };
      return undefined;
    };

    const append = (digest: string, chunks: readonly Chunk[]): Kept | Promise<Kept> => {
      const payload = payloadOf(chunks);
      const refused = refusal(payload);
      if (refused) return refused;
      const kept = (): Kept => {
        digests.add({ digest, timeMs: clock.now() });
        return KEPT;
      };
      return spoolLog.append({ digest, payload: payload! })?.then(kept, diskFailed) ?? kept();
    };

    /** As `append`, for senders that come again: one that does while its first request is being written waits for that. */
    const appendOnce = async (digest: string, chunks: readonly Chunk[]): Promise<Kept> => {
      if (digests.has(digest)) return { kind: 'repeated' };
      const first = underWay.get(digest);
      if (first) {
        const outcome = await first;
        return outcome.kind === 'kept' ? { kind: 'repeated' } : outcome;
      }
      const kept = Promise.resolve(append(digest, chunks)).finally(() => underWay.delete(digest));
      underWay.set(digest, kept);
      return await kept;
    };

    return {
      append: rememberMs > 0 ? appendOnce : append,
      flush: (signal) => deliverer.flush(signal),
      trouble: () => deliverer.trouble,
      figures: () => ({
        bytes: spoolLog.bytes,
        records: deliverer.pendingRecords,
        oldestUnsentS: Math.max(0, oldestUnsentMs() / 1000),
        commits,
        diskErrors,
        setAside: setAsideCounts,
      }),
      close: async (drainMs) => {
        closed = true;
        await spoolLog.idle(); // what is being written is there to be delivered
        const stopWaiting = new AbortController();
        const flushed = deliverer.flush(stopWaiting.signal).catch(() => {}); // what remains stays
        await Promise.race([flushed, clock.sleep(drainMs, stopWaiting.signal).catch(() => {})]);
        stopWaiting.abort();
        await deliverer.stop();
        await spoolLog.close();
        await opened.file.close().catch(onError);
        await lock.release();
      },
    };
  } catch (error) {
    await cursorFile?.close().catch(() => {});
    await lock.release();
    throw error;
  }

  /** For a folder without a cursor, or with one that is lost: from the oldest segment on. */
  async function firstCursor(): Promise<Cursor> {
    const numbers = (await files.list(folder))
      .map((name) => numberIn(name, '.seg'))
      .filter((n) => n !== undefined)
      .sort((a, b) => a - b);
    let spoolId: string | undefined;
    for (const number of numbers) {
      const bytes = await using(files.open(segmentPath(folder, number)), (file) =>
        readRange(file, 0, SEGMENT_HEADER_BYTES),
      );
      const header = decodeSegmentHeader(bytes);
      if (header?.version === SEGMENT_VERSION) spoolId ??= header.spoolId;
    }
    if (numbers.length > 0) countSetAside('cursor_lost', 1);
    return {
      spoolId: spoolId ?? clock.randomHex(8),
      segment: numbers[0] ?? 0,
      offset: SEGMENT_HEADER_BYTES,
      sequence: 0,
      ranges: [],
    };
  }
}
