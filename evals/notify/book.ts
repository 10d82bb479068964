import type { Clock } from '../../src/clock.ts';
import {
  type AlertHistory,
  alertHistories,
  deliveriesSince,
  notificationStamp,
  type Told,
} from '../../src/store/alerts.ts';
import type { Store } from '../../src/store/client.ts';
import { listSilences, type Silence } from '../../src/store/silences.ts';

/**
 * What is in the tables about whom to tell what, read again only when rows came: asking whether some did costs a
 * question whose answer ClickHouse has at hand. All receivers read the same book.
 */
export interface Book {
  /** Alerts that are open, and those that were over a short while ago, in the order in which they were found. */
  alerts: readonly AlertHistory[];
  /** By delivery key. */
  told: ReadonlyMap<string, Told>;
  silences: readonly Silence[];
}

/** What was over before that is no news, and no receiver that was away this long gets it. */
export const NEWS_FOR_MS = 7 * 86_400_000;
/** What it was told of it is told the end of, for longer. */
const ENDS_FOR_MS = 30 * 86_400_000;
/** Alerts that are held at once, the newest: some megabytes. */
const ALERTS_MAX = 2_000;
const SILENCES_MAX = 1_000;
/** Whoever found an alert and whoever told of it may go by clocks that differ. */
const CLOCKS_APART_MS = 3_600_000;
/** The window moves on even when no row comes. */
const READ_AGAIN_MS = 600_000;

export interface BookReader {
  /** The book as it is. Rejects when the store is away. */
  read(): Promise<Book>;
  /** As it was when it was last read; `undefined` before that. */
  last(): Book | undefined;
}

export function createBookReader(store: Store, clock: Pick<Clock, 'now'>): BookReader {
  let book: Book | undefined;
  let stamp = '';
  let readAt = 0;
  let reading: Promise<Book> | undefined;

  const read = async (): Promise<Book> => {
    const now = clock.now();
    // Asked for before the rows: what comes in between is read twice rather than never.
    const newest = await notificationStamp(store);
    if (book && newest === stamp && now - readAt < READ_AGAIN_MS) return book;
    const alerts = await alertHistories(store, now - ENDS_FOR_MS, ALERTS_MAX);
    const oldest = Math.min(now, ...alerts.map(({ firing }) => firing.at));
    const told = alerts.length === 0 ? [] : await deliveriesSince(store, oldest - CLOCKS_APART_MS);
    const silences = await listSilences(store, now - NEWS_FOR_MS, SILENCES_MAX);
    book = { alerts, told: new Map(told.map((one) => [one.delivery_key, one])), silences };
    stamp = newest;
    readAt = now;
    return book;
  };
  return {
    read: async () => {
      reading ??= read().finally(() => {
        reading = undefined;
      });
      return reading;
    },
    last: () => book,
  };
}
