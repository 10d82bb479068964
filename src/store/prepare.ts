import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import { LoopscopeError } from '../errors.ts';

/** A store that is made ready: its schema is brought up to date, and whatever else must be done there first. */
export interface Preparation {
  /** Why nothing may be written there yet; `undefined` once it is ready. */
  whyUnready(): string | undefined;
  /** Rejects when it turns out that it will never be ready. */
  failed: Promise<never>;
  close(): void;
}

const RETRY_MS = 1_000;

/**
 * Runs `prepare`. When the store is away, this returns all the same, and `prepare` is run again and again until the store
 * is there: for who has something to do in the meantime. Throws what `prepare` throws otherwise.
 */
export async function prepareEventually(
  prepare: () => Promise<void>,
  { clock, log }: { clock: Clock; log: Logger },
): Promise<Preparation> {
  let whyUnready: string | undefined;
  const closing = new AbortController();
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {}); // whoever waits on it hears of it; nobody has to
  const isReady = async (): Promise<boolean> => {
    try {
      await prepare();
      whyUnready = undefined;
      return true;
    } catch (error) {
      if (!(error instanceof LoopscopeError) || error.code !== 'store_unavailable') throw error;
      whyUnready = error.message;
      return false;
    }
  };
  const untilReady = async () => {
    do await clock.sleep(RETRY_MS, closing.signal);
    while (!(await isReady()));
    log.info('ClickHouse is there');
  };
  if (!(await isReady())) {
    log.warn({ reason: whyUnready }, 'starting without ClickHouse, which is tried again until it is there');
    untilReady().catch((error) => {
      if (!closing.signal.aborted) failure.reject(error);
    });
  }
  return {
    whyUnready: () => whyUnready,
    failed: failure.promise,
    close: () => closing.abort(),
  };
}
