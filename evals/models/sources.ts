import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Logger } from 'pino';
import type { Clock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import type { Metrics } from '../metrics.ts';
import { type Calendar, calendarOf, parseCalendar, type Retirement, shippedCalendar } from './calendar.ts';
import { fetchText } from './fetch.ts';
import { modelListOf } from './model-list.ts';
import { pollList } from './poll.ts';

/**
 * Where the calendar's dates come from, read again at each `refresh`. A source that cannot be read, or is not valid,
 * keeps what it said last: a date is never forgotten because somebody did not answer.
 */
export interface CalendarSources {
  current(): Calendar;
  /** Reads the operator's calendar and every provider's list. Never throws; failures are counted. */
  refresh(): Promise<void>;
}

const CALENDAR_BYTES_MAX = 4 * 1024 * 1024;

export interface SourcesContext {
  config: Pick<Config, 'directory' | 'model_watch' | 'providers'>;
  clock: Clock;
  metrics: Metrics;
  log: Logger;
  signal: AbortSignal;
}

/** @param remembered what the tables have of the sources: it holds until they are read again */
export function openSources(
  { config, clock, metrics, log, signal }: SourcesContext,
  remembered: readonly Retirement[],
): CalendarSources {
  const shipped = shippedCalendar();
  const said = (origin: Retirement['origin']) => remembered.filter((row) => row.origin === origin);
  let settings: readonly Retirement[] = config.model_watch.calendar === undefined ? [] : said('settings');
  // Whoever is not asked any more would never take a date back.
  const asked = Object.entries(config.providers).map(([name, of]) => modelListOf(name, of)?.provider);
  const listed = said('list').filter(({ provider }) => asked.includes(provider));
  const lists = new Map<string, readonly Retirement[]>(Map.groupBy(listed, ({ provider }) => provider));
  const make = () => calendarOf(shipped, settings, [...lists.values()].flat());
  let current = make();
  const skipped = new Set<string>();

  const readSettings = async (named: string) => {
    const read = /^https?:/.test(named)
      ? await fetchText(named, { bytesMax: CALENDAR_BYTES_MAX, signal })
      : await readText(resolve(config.directory, named));
    try {
      if (read.outcome === 'failed') throw new Error(read.reason);
      settings = parseCalendar(read.text, 'settings');
    } catch (error) {
      if (signal.aborted) return;
      metrics.add('model_calendar_failures_total', {});
      log.error(
        { reason: (error as Error).message },
        'model_watch.calendar cannot be read or is not valid; what it said before stays in force',
      );
    }
  };

  const poll = async (name: string) => {
    const list = modelListOf(name, config.providers[name]!);
    if (!list) {
      if (!skipped.has(name)) log.info({ provider: name }, 'no key: its list of models is not read');
      skipped.add(name);
      return;
    }
    const polled = await pollList(list, { now: clock.now(), signal });
    if (signal.aborted) return;
    metrics.add('model_polls_total', { provider: name, outcome: polled.outcome });
    if (polled.outcome === 'read') lists.set(list.provider, polled.retirements);
    else log.warn({ provider: name, reason: polled.reason }, 'the list of models could not be read');
  };

  return {
    current: () => current,
    refresh: async () => {
      const { calendar } = config.model_watch;
      const providers = Object.keys(config.providers).map(poll);
      await Promise.all([calendar === undefined ? undefined : readSettings(calendar), ...providers]);
      current = make();
    },
  };
}

async function readText(
  path: string,
): Promise<{ outcome: 'read'; text: string } | { outcome: 'failed'; reason: string }> {
  try {
    return { outcome: 'read', text: await readFile(path, 'utf8') };
  } catch (error) {
    return { outcome: 'failed', reason: (error as Error).message };
  }
}
