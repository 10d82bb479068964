import type { Logger } from 'pino';
import type { Clock } from '../../src/clock.ts';
import { type Delivery, type DeliveryOutcome, recordDeliveries } from '../../src/store/alerts.ts';
import type { Store } from '../../src/store/client.ts';
import type { Metrics } from '../metrics.ts';
import { backoffMs, refusalPauseMs } from './backoff.ts';
import type { BookReader } from './book.ts';
import { type Plan, type PlanContext, plan } from './plan.ts';
import type { Notice, Outcome, Receiver } from './receiver.ts';

/**
 * Brings one receiver what it is owed, as long as it takes. Each has a courier of its own, so that one that hangs
 * delays no other.
 *
 * A notice goes out, and then it is written down that it did: should this process die in between it goes out again,
 * under the same key. Nothing else is sent until that is written. A receiver that is away is tried with one notice at a
 * time, ever less often, and never the same one first, so that one it cannot stomach does not hold back the others.
 * What it refuses for good is given up after a few tries and written down as such; the next start tries once more, since
 * settings may be others by then.
 */
const POLL_MS = 5_000;
const PAUSE_MS_MIN = 20;
const REFUSALS_MAX = 5;
/** Changes of which is held in memory what became of them. */
const SETTLED_MAX = 10_000;

export interface Courier {
  /** Look at once: an alert changed its state. */
  wake(): void;
  /** How many changes are owed. */
  pending(): Promise<number>;
  /** Delivers until the signal fires. Never rejects. */
  run(): Promise<void>;
}

export interface CourierContext extends Pick<PlanContext, 'routeName' | 'settings' | 'loopOf'> {
  store: Store;
  book: BookReader;
  clock: Clock;
  metrics: Metrics;
  log: Logger;
  signal: AbortSignal;
  /** Whether this process is the one that tells, of all that share the tables. */
  isTeller: () => boolean;
}

/** How it went with a notice so far; bounded by what is owed. */
interface Attempts {
  made: number;
  refused: number;
  nextAt: number;
}

export function createCourier(receiver: Receiver, context: CourierContext): Courier {
  const { store, book, clock, metrics, signal, isTeller } = context;
  const labels = { kind: receiver.kind };
  const log = context.log.child({ receiver: receiver.name, receiver_kind: receiver.kind });
  const attempts = new Map<string, Attempts>();
  /** What became of changes, for as long as the book does not say so: of what was given up it never does. */
  const settled = new Map<string, DeliveryOutcome>();
  const silenced = new Set<string>();
  /** What went out and is not written down yet. */
  let unwritten: { deliveries: Delivery[]; token: string } | undefined;
  let awayUntil = 0;
  let failuresInARow = 0;
  let remindAt = 0;
  /** It may have been restarted and have forgotten what it was told. */
  let mayHaveForgotten = receiver.reminder !== undefined;
  let woken = Promise.withResolvers<void>();

  const planNow = async (): Promise<Plan> => {
    const read = await book.read();
    for (const key of settled.keys()) if (read.told.has(key)) settled.delete(key);
    return plan(read, { ...context, receiver, settled, now: clock.now() });
  };

  const write = async (): Promise<void> => {
    if (!unwritten) return;
    await recordDeliveries(store, unwritten.deliveries, unwritten.token);
    unwritten = undefined;
  };

  /** Takes note of what became of a notice: in memory at once, in the tables as soon as they can be written. */
  const settle = (notice: Notice, made: number, outcome: DeliveryOutcome, reason: string): void => {
    const deliveries = notice.changes.map(({ alert }) => ({
      delivery_key: receiver.keyOf(alert),
      alert_id: alert.alert_id,
      state: alert.state,
      receiver: receiver.name,
      receiver_kind: receiver.kind,
      group_id: receiver.grouped ? notice.groupId : '',
      outcome,
      reason,
      delivered_at: clock.now(),
      attempts: made,
    }));
    for (const { delivery_key } of deliveries) settled.set(delivery_key, outcome);
    // The oldest of them was refused long ago: should it still be owed it is tried again.
    while (settled.size > SETTLED_MAX) settled.delete(settled.keys().next().value!);
    unwritten = { deliveries, token: outcome === 'delivered' ? notice.key : `${notice.key}/${outcome}` };
  };

  const deliver = async (notice: Notice): Promise<void> => {
    const attempt = attempts.get(notice.groupId) ?? { made: 0, refused: 0, nextAt: 0 };
    attempts.set(notice.groupId, attempt);
    attempt.made++;
    const outcome = await receiver.send(notice, signal);
    if (signal.aborted && outcome.outcome !== 'taken') return;
    count(outcome, notice, attempt.made);
    if (outcome.outcome === 'taken') {
      failuresInARow = 0;
      attempts.delete(notice.groupId);
      settle(notice, attempt.made, 'delivered', '');
    } else if (outcome.outcome === 'refused') {
      attempt.refused++;
      attempt.nextAt = clock.now() + refusalPauseMs(clock);
      if (attempt.refused >= REFUSALS_MAX) {
        attempts.delete(notice.groupId);
        settle(notice, attempt.made, 'given_up', outcome.reason);
        metrics.add('notifications_given_up_total', labels, notice.changes.length);
        log.error(
          { alerts: notice.changes.map(({ alert }) => alert.alert_id), reason: outcome.reason },
          'notification given up: the receiver refuses it; see doctor',
        );
      }
    } else {
      const pauseMs = Math.max(backoffMs(attempt.made, clock), outcome.retryAfterMs);
      attempt.nextAt = clock.now() + pauseMs;
      if (outcome.isAway) holdOff(outcome.retryAfterMs);
    }
    await write();
  };

  /** Leaves a receiver that is away alone for a while, the longer the longer it is. */
  const holdOff = (retryAfterMs: number): void => {
    failuresInARow++;
    awayUntil = clock.now() + Math.max(backoffMs(failuresInARow, clock), retryAfterMs);
    mayHaveForgotten = receiver.reminder !== undefined;
  };

  const count = (outcome: Outcome, notice: Notice, made: number): void => {
    const isWebhook = receiver.kind === 'webhook';
    if (outcome.outcome === 'taken') {
      metrics.add('notifications_sent_total', labels, notice.changes.length);
      if (isWebhook) metrics.add('webhook_deliveries_total', { receiver: receiver.name });
      return;
    }
    metrics.add('notifications_failed_total', labels);
    if (isWebhook) metrics.add('webhook_failures_total', { receiver: receiver.name });
    log.warn({ attempt: made, reason: outcome.reason }, 'notification not taken');
  };

  /** Of a process that does not tell it is for another to say. */
  const observeAge = (oldestAt: number | undefined): void => {
    const age = oldestAt === undefined ? 0 : Math.max(0, clock.now() - oldestAt) / 1000;
    metrics.set('notification_oldest_undelivered_seconds', { ...labels, receiver: receiver.name }, age);
  };
  const observe = ({ oldestAt, silenced: held }: Plan): void => {
    observeAge(oldestAt);
    const news = held.filter((key) => !silenced.has(key));
    if (news.length > 0) metrics.add('notifications_silenced_total', labels, news.length);
    silenced.clear();
    for (const key of held) silenced.add(key);
  };

  /** One try of what is due; gives the time until the next is worth it. */
  const pass = async (): Promise<number> => {
    await write();
    const planned = await planNow();
    observe(planned);
    const inPlan = new Set(planned.due.map(({ groupId }) => groupId));
    for (const groupId of attempts.keys()) if (!inPlan.has(groupId)) attempts.delete(groupId);
    const nextAtOf = ({ groupId }: Notice) => attempts.get(groupId)?.nextAt ?? 0;
    // Who has forgotten that an alert fired has nobody to tell of its end.
    if (mayHaveForgotten && planned.due.length > 0 && clock.now() >= awayUntil) {
      remindAt = 0;
      await remind();
    }
    // Those that were not tried lately come first.
    for (const notice of planned.due.toSorted((a, b) => nextAtOf(a) - nextAtOf(b))) {
      if (signal.aborted || !isTeller() || clock.now() < awayUntil) break;
      if (nextAtOf(notice) <= clock.now()) await deliver(notice);
    }
    const waiting = planned.due.map((notice) => {
      const attempt = attempts.get(notice.groupId);
      // What was just delivered may have left another change of the same alert or group.
      return attempt ? Math.max(attempt.nextAt, awayUntil) : awayUntil;
    });
    return Math.min(POLL_MS, ...[planned.nextDueAt, ...waiting].map((at) => at - clock.now()));
  };

  /** Reminds the receiver of what it was told, from memory where the store is away. */
  const remind = async (): Promise<void> => {
    const { reminder } = receiver;
    const last = book.last();
    const now = clock.now();
    if (!reminder || !last || now < Math.max(remindAt, awayUntil)) return;
    if (signal.aborted || !isTeller()) return;
    const { known } = plan(last, { ...context, receiver, settled, now });
    const items = known.filter(
      ({ alert, at }) => alert.state === 'firing' || at > now - reminder.resolvedForMs,
    );
    remindAt = now + reminder.everyMs;
    const outcome: Outcome = items.length === 0 ? { outcome: 'taken' } : await reminder.send(items, signal);
    if (items.length > 0)
      metrics.add('notification_reminders_total', { ...labels, outcome: outcome.outcome });
    if (signal.aborted) return;
    // What it refused of these it was told of one by one before.
    if (outcome.outcome !== 'failed') mayHaveForgotten = false;
    else {
      holdOff(outcome.retryAfterMs);
      remindAt = Math.min(remindAt, awayUntil);
    }
    if (outcome.outcome === 'taken') return;
    metrics.add('notifications_failed_total', labels);
    log.warn({ reason: outcome.reason }, 'receiver could not be reminded of what fires');
  };

  return {
    wake: () => woken.resolve(),
    pending: async () => (await planNow()).owed,
    run: async () => {
      while (!signal.aborted) {
        woken = Promise.withResolvers();
        let pauseMs = POLL_MS;
        if (isTeller()) {
          try {
            pauseMs = await pass();
          } catch (error) {
            if (!signal.aborted)
              log.warn({ reason: (error as Error).message }, 'notifications wait for the store');
          }
          await remind();
          if (receiver.reminder && book.last()) pauseMs = Math.min(pauseMs, remindAt - clock.now());
        } else observeAge(undefined);
        const waiting = new AbortController();
        const stop = AbortSignal.any([signal, waiting.signal]);
        const pause = clock.sleep(Math.max(pauseMs, PAUSE_MS_MIN), stop).catch(() => {});
        await Promise.race([pause, woken.promise]);
        waiting.abort();
      }
    },
  };
}
