import type { Logger } from 'pino';
import type { Clock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import { type Alert, appendAlert, listAlerts } from '../../src/store/alerts.ts';
import type { Store } from '../../src/store/client.ts';
import {
  appendModelEvent,
  type ModelEvent,
  storeCalendar,
  storedCalendar,
  toldModelEvents,
} from '../../src/store/model-events.ts';
import {
  foldHistory,
  MODEL_USES_MAX,
  modelUses,
  newestUseAt,
  readWatermark,
  writeWatermark,
} from '../../src/store/model-uses.ts';
import type { Metrics } from '../metrics.ts';
import { createTurns } from '../turns.ts';
import { MODEL_ALERT_KIND } from './alert.ts';
import type { Judgement } from './findings.ts';
import { USED_WITHIN_MS } from './in-use.ts';
import { judgeModels } from './judge.ts';
import { type CalendarSources, openSources } from './sources.ts';

/**
 * Watches the models that loops use: tells events and raises alerts. A look judges the loops with calls stored since the
 * last look and those with an open alert; once in a while, and when the calendar changed, every loop of late.
 *
 * Ids of events and alerts are made of what happened. So to look at something again, after a restart or beside another
 * evaluator, tells nothing twice.
 */
export interface ModelWatch {
  /** Judges what is new. Throws what the store throws. */
  look(): Promise<void>;
  /** Reads the calendar's sources, and looks at every loop when a date changed. Throws what the store throws. */
  refresh(): Promise<void>;
  /** Does both in their time until the signal fires. Never rejects. */
  run(): Promise<void>;
}

export interface ModelWatchContext {
  store: Store;
  clock: Clock;
  config: Pick<Config, 'directory' | 'evals' | 'model_watch' | 'providers'>;
  metrics: Metrics;
  log: Logger;
  signal: AbortSignal;
  /** Called when alerts changed their state. */
  onAlerts: () => void;
}

/** Days pass without a call being made. */
const LOOK_AT_ALL_EVERY_MS = 3_600_000;
/** Of inserts that were under way at the last look, some have a time before it. */
const OVERLAP_MS = 60_000;
const WATERMARK_EVERY_MS = 600_000;
const HELD_UP_MS = 5_000;
/** Events of one loop that are told at one look; the rest follow at the next. */
const EVENTS_AT_ONCE_MAX = 200;
/** Ids remembered as told; beyond that the table is asked again. */
const TOLD_MAX = 50_000;
/** Polls of many evaluators spread over this share of the interval. */
const JITTER = 0.2;

export function createModelWatch(context: ModelWatchContext): ModelWatch {
  const { store, clock, config, metrics, log, signal, onAlerts } = context;
  const { notice_days: noticeDays, poll_h } = config.model_watch;
  const turns = createTurns(1);
  const told = new Set<string>();
  let opening: Promise<CalendarSources> | undefined;
  let lookedTo: number | undefined;
  let markedAt = 0;
  let lookAtAllAt = 0;

  /** The sources, begun with what the tables have of them. */
  const opened = (): Promise<CalendarSources> => {
    opening ??= storedCalendar(store).then(
      (stored) => openSources(context, stored?.rows ?? []),
      (error) => {
        opening = undefined; // the next one tries again
        throw error;
      },
    );
    return opening;
  };

  const tell = async (events: readonly ModelEvent[]): Promise<void> => {
    if (told.size > TOLD_MAX) told.clear();
    const fresh = events.filter(({ event_id }) => !told.has(event_id));
    const ids = fresh.map(({ event_id }) => event_id);
    for (const id of await toldModelEvents(store, ids)) told.add(id);
    const untold = fresh.filter(({ event_id }) => !told.has(event_id));
    if (untold.length > EVENTS_AT_ONCE_MAX) lookAtAllAt = 0;
    for (const event of untold.slice(0, EVENTS_AT_ONCE_MAX)) {
      await appendModelEvent(store, event);
      told.add(event.event_id);
      const { kind, loop, provider, model, previous_model, retires_at } = event;
      metrics.add('model_events_total', { kind });
      log.info({ loop, kind, provider, model, previous_model, retires_at }, 'model event');
    }
  };

  const judge = async (since: number): Promise<number> => {
    const { current } = await opened();
    const now = clock.now();
    const isDue = now >= lookAtAllAt;
    // Before the reading: whatever sets it back meanwhile asks for another.
    if (isDue) lookAtAllAt = now + LOOK_AT_ALL_EVERY_MS;
    const alerts = (await listAlerts(store)).filter(({ kind }) => kind === MODEL_ALERT_KIND);
    const open = alerts.filter(({ state }) => state === 'firing').map(({ loop }) => loop);
    const uses = await modelUses(store, {
      storedAfter: since - OVERLAP_MS,
      ...(isDue && { calledAfter: now - USED_WITHIN_MS }),
      loops: [...new Set(open)],
    });
    metrics.set('model_uses_cut', {}, uses.length === MODEL_USES_MAX ? 1 : 0);
    const alertsOf = Map.groupBy(alerts, ({ loop }) => loop);
    let changes = 0;
    for (const [loop, ofLoop] of Map.groupBy(uses, (use) => use.loop))
      changes += await change(
        judgeModels(
          { loop, uses: ofLoop, alerts: alertsOf.get(loop) ?? [] },
          { calendar: current(), noticeDays, now },
        ),
      );
    return changes;
  };

  const change = async ({ events, alerts, withheld }: Judgement): Promise<number> => {
    await tell(events);
    if (withheld > 0) metrics.add('model_alerts_withheld_total', {}, withheld);
    for (const { alert, at } of alerts) {
      await appendAlert(store, { alert, at });
      noteAlert(alert);
    }
    return alerts.length;
  };

  const noteAlert = ({ alert_id, loop, kind, state, evidence }: Alert) => {
    metrics.add('alerts_total', { loop, kind, state });
    log.warn({ loop, alert_id, kind, state, model: evidence['model'] }, `alert ${state}`);
  };

  const look = async (): Promise<void> => {
    try {
      await lookOn();
    } catch (error) {
      lookAtAllAt = 0;
      throw error;
    }
  };

  const lookOn = async (): Promise<void> => {
    if (lookedTo === undefined) {
      await foldHistory(store, clock.now());
      lookedTo = await readWatermark(store, 'uses');
      markedAt = lookedTo;
    }
    const newest = await newestUseAt(store);
    const changes = await judge(lookedTo);
    lookedTo = Math.max(lookedTo, newest);
    if (lookedTo - markedAt >= WATERMARK_EVERY_MS) {
      await writeWatermark(store, 'uses', lookedTo);
      markedAt = lookedTo;
    }
    if (changes > 0) onAlerts();
  };

  const refresh = async (): Promise<void> => {
    const { refresh, current } = await opened();
    const before = current();
    await refresh();
    const { version, rows } = current();
    metrics.set('model_calendar_entries', {}, rows.length);
    if (version !== before.version) lookAtAllAt = 0;
    if ((await storedCalendar(store))?.version !== version)
      await storeCalendar(store, { version, at: clock.now() }, rows);
  };

  const every = async (what: string, work: () => Promise<void>, pauseMs: () => number) => {
    while (!signal.aborted) {
      let pause = pauseMs();
      try {
        await work();
      } catch (error) {
        pause = HELD_UP_MS;
        if (!signal.aborted) log.warn({ reason: (error as Error).message }, `${what} is held up`);
      }
      await clock.sleep(pause, signal).catch(() => {});
    }
  };

  const lookInTurn = () => turns.take('look', look);
  return {
    look: lookInTurn,
    refresh,
    run: async () => {
      await Promise.all([
        every('the watch over models', lookInTurn, () => config.evals.detect_every_s * 1000),
        every('the calendar of models', refresh, () => {
          const spread = 1 + JITTER * (clock.random() - 0.5);
          return poll_h * 3_600_000 * spread;
        }),
      ]);
      await turns.settled();
    },
  };
}
