import { resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type ScoredItem, type Scorer, ScorerError } from './scorer.ts';

/** How long a user's scorer may take for one answer, the first import included. */
const SCORE_MS_MAX = 30_000;

export interface ScoreRequest {
  output: string;
  expected: string;
  item: ScoredItem | undefined;
}
export type ScoreReply = { score: unknown } | { error: string };

/**
 * A user's TypeScript module whose default export is `(output, expected, item) => number`, also as a promise.
 *
 * It runs in a thread of its own: one that never ends, throws outside a promise or exits takes only that thread
 * with it. The module is imported once a thread; a new thread starts after one was lost. Answers are scored one
 * after the other.
 */
export function module(
  { module: path }: { module: string },
  directory: string,
  timeoutMs: number = SCORE_MS_MAX,
): Scorer {
  const file = resolve(directory, path);
  let worker: Worker | undefined;
  let isClosed = false;
  let last: Promise<unknown> = Promise.resolve();

  const start = (): Worker => {
    const started = new Worker(new URL('./module-worker.ts', import.meta.url), {
      workerData: file,
      stdout: true, // stdout is for our own documents
    });
    started.stdout.pipe(process.stderr, { end: false });
    started.unref();
    const forget = () => {
      if (worker === started) worker = undefined;
    };
    // One that is lost between two answers is replaced at the next; it is no crash.
    started.on('error', forget).on('exit', forget);
    return started;
  };

  const scoreOne = async (request: ScoreRequest): Promise<number> => {
    if (isClosed) throw new ScorerError('scoring_stopped', `${path} was told to stop`);
    worker ??= start();
    const thread = worker;
    const reply = Promise.withResolvers<ScoreReply>();
    const lost = (why: string) => reply.resolve({ error: why });
    const onError = (error: unknown) => lost(error instanceof Error ? error.message : String(error));
    const onExit = (code: number) => lost(`${path} ended its thread with exit code ${code}`);
    const timer = setTimeout(() => {
      lost(`${path} gave no score within ${timeoutMs} ms`);
      worker = undefined;
      void thread.terminate();
    }, timeoutMs);
    thread.once('message', reply.resolve).once('error', onError).once('exit', onExit);
    thread.postMessage(request);
    try {
      const answer = await reply.promise;
      if ('error' in answer) throw new Error(answer.error);
      return answer.score as number;
    } finally {
      clearTimeout(timer);
      thread.off('message', reply.resolve).off('error', onError).off('exit', onExit);
    }
  };

  const scorer: Scorer = (output, expected, item) => {
    const mine = last.then(() => scoreOne({ output, expected, item }));
    last = mine.catch(() => {});
    return mine;
  };
  scorer.close = async () => {
    isClosed = true;
    await worker?.terminate();
    worker = undefined;
  };
  return scorer;
}
