import { type Clock, systemClock } from '../clock.ts';
import type { Fetch } from '../collector-trust.ts';
import { LoopscopeError } from '../errors.ts';
import type { Span } from '../span/span.ts';
import { goldenScore, type MaybeLaterScore, sameText } from './golden-score.ts';
import { otlpJson } from './otlp.ts';
import { postSpans } from './post.ts';
import { readRecords } from './read.ts';
import type { RunRecord } from './record.ts';
import { runSpans } from './spans.ts';

/** A batch is sent when it has this many lines or this much text. */
const BATCH_LINES_MAX = 1_000;
const BATCH_TEXT_MAX = 4_000_000;
/** Lines of one run stay in one batch, up to this many times the above. */
const ONE_RUN_FACTOR = 5;

export interface BadLine {
  line: number;
  error: string;
}

export interface ImportProgress {
  /** The last line read. */
  lines: number;
  /** Records known to be stored. */
  loaded: number;
  bad: number;
}

export interface ImportOptions {
  collectorUrl: string;
  /** The collector's token, where it asks for one. */
  token?: string | undefined;
  /** Where the collector's certificate is one of its own. */
  fetch?: Fetch | undefined;
  /** How a loop's outputs are held against what was expected; the same text where it gives none. */
  scorerFor?: (loop: string) => MaybeLaterScore | undefined;
  /** Whether a loop is in the registry; none is where not given. */
  isRegistered?: (loop: string) => boolean;
  onProgress?: (progress: ImportProgress) => void;
  signal?: AbortSignal;
  clock?: Clock;
}

export interface ImportResult {
  /** Records that are stored now, by this import or one before. */
  loaded: number;
  /** Lines that were not loaded. */
  bad: BadLine[];
  /** Lines that were loaded without a golden score, as their scorer failed. */
  unscored: BadLine[];
}

/**
 * Loads a file of run records as history, through the collector, and returns when all of it is stored. A bad line is
 * reported and stops nothing. Lines of one run belong together and stand one after the other. Importing the same
 * file, or a longer one, again stores what is new and doubles nothing.
 * Throws `not_found` or `bad_input` when the file cannot be read, `store_unavailable` or `store_rejected` when the
 * collector does not take it, or the signal's reason.
 */
export async function importRecords(path: string, options: ImportOptions): Promise<ImportResult> {
  const { collectorUrl, token, fetch, onProgress = () => {}, signal, clock = systemClock() } = options;
  const result: ImportResult = { loaded: 0, bad: [], unscored: [] };
  const scored = scorer(options, result.unscored);
  let lines = 0;
  const report = () => onProgress({ lines, loaded: result.loaded, bad: result.bad.length });

  // One batch is under way while the next is read.
  let underWay: Promise<void> = Promise.resolve();
  const send = async (batch: readonly Numbered[]) => {
    const body = otlpJson(await scored(batch));
    await underWay;
    underWay = post(body, batch);
    underWay.catch(() => {}); // told by the next to wait for it
  };
  const post = async (body: string, batch: readonly Numbered[]) => {
    const partial = await postSpans(body, { collectorUrl, token, fetch, clock, signal });
    if (partial) {
      const [first, last] = [batch[0]!.line, batch.at(-1)!.line];
      const error = `lines ${first} to ${last}: the collector did not take ${partial.rejectedSpans} spans: ${partial.message}`;
      result.bad.push({ line: first, error });
    }
    result.loaded += batch.length;
    report();
  };

  try {
    let batch: Numbered[] = [];
    let text = 0;
    for await (const read of readRecords(path)) {
      signal?.throwIfAborted();
      lines = read.line;
      if ('error' in read) {
        result.bad.push(read);
        continue;
      }
      const fullness = Math.max(batch.length / BATCH_LINES_MAX, text / BATCH_TEXT_MAX);
      if (fullness >= ONE_RUN_FACTOR || (fullness >= 1 && !sameRun(batch.at(-1)!.record, read.record))) {
        await send(batch);
        batch = [];
        text = 0;
      }
      batch.push(read);
      text += (read.record.input?.length ?? 0) + (read.record.output?.length ?? 0);
    }
    if (batch.length > 0) await send(batch);
    await underWay;
  } catch (error) {
    await underWay.catch(() => {});
    throw error instanceof LoopscopeError && result.loaded > 0 ? resumable(error, result.loaded) : error;
  }
  report();
  return result;
}

interface Numbered {
  line: number;
  record: RunRecord;
}

const sameRun = (a: RunRecord, b: RunRecord) => a.loop === b.loop && a.run === b.run;

/** Turns numbered records into spans, a run at a time, and scores those that can be. */
function scorer(options: ImportOptions, unscored: BadLine[]) {
  const { scorerFor = () => undefined, isRegistered = () => false } = options;
  return async (batch: readonly Numbered[]): Promise<Span[]> => {
    const spans: Span[] = [];
    for (const run of runsOf(batch)) {
      const { loop } = run[0]!.record;
      let score: number | undefined;
      for (const { line, record } of run) {
        try {
          score = (await goldenScore(record, scorerFor(loop) ?? sameText)) ?? score;
        } catch (error) {
          unscored.push({ line, error: `golden: the scorer failed: ${(error as Error).message}` });
        }
      }
      const records = run.map(({ record }) => record);
      spans.push(...runSpans(records, { registered: isRegistered(loop), goldenScore: score }));
    }
    return spans;
  };
}

/** Cuts a batch where one run's lines end and another's begin. */
function runsOf(batch: readonly Numbered[]): Numbered[][] {
  const runs: Numbered[][] = [];
  for (const numbered of batch) {
    const run = runs.at(-1);
    if (run && sameRun(run[0]!.record, numbered.record)) run.push(numbered);
    else runs.push([numbered]);
  }
  return runs;
}

const resumable = (error: LoopscopeError, loaded: number) =>
  new LoopscopeError(
    error.code,
    `${error.message} ${loaded} records were loaded before. Run the same import again to go on: nothing is stored twice.`,
    { cause: error },
  );
