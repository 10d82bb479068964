import type { Logger } from 'pino';
import { request } from 'undici';
import type { Clock } from '../src/clock.ts';
import type { WebhookConfig } from '../src/config.ts';
import { LoopscopeError } from '../src/errors.ts';
import { contentHash } from '../src/records/normalize.ts';
import { type Alert, alertChanges, deliveredKeys, recordDelivery } from '../src/store/alerts.ts';
import type { Store } from '../src/store/client.ts';
import { signature, webhookBody } from './message.ts';
import type { Metrics } from './metrics.ts';

/**
 * Tells receivers of changes of alert state: each change once to each receiver, resolved only after firing.
 *
 * What is owed is read from the tables: changes less deliveries. So a restart takes up what was left, and nothing
 * that was delivered and written down goes out again. Should this process die between a receiver's answer and
 * our note of it, the message goes out again under the same `idempotency-key`.
 */

/** Older changes are no news: a receiver that was away this long, or is new, does not get them. */
const OWED_FOR_MS = 7 * 86_400_000;
const ATTEMPT_MS_MAX = 10_000;
const BACKOFF_MS_BASE = 500;
const BACKOFF_MS_MAX = 60_000;
/** A receiver's `Retry-After` is honoured up to this. */
const RETRY_AFTER_MS_MAX = 300_000;
const POLL_MS = 5_000;
const PAUSE_MS_MIN = 20;

export interface Deliveries {
  /** Look at once: an alert changed its state. */
  wake(): void;
  /** How many messages are owed. */
  pending(): Promise<number>;
  /** Delivers until the signal fires. Never rejects. */
  run(): Promise<void>;
}

export interface DeliveryContext {
  store: Store;
  receivers: readonly WebhookConfig[];
  clock: Clock;
  metrics: Metrics;
  log: Logger;
  signal: AbortSignal;
  /** Whether this process is the one that tells, of all that share the tables. */
  isTeller: () => boolean;
}

interface Attempts {
  made: number;
  nextAt: number;
  /** Taken by the receiver, and our note of it is still to be written. */
  takenAt: number | undefined;
}

/** Throws `config_invalid` for a receiver whose messages should be signed and whose secret is not there. */
export function createDeliveries({ receivers, ...context }: DeliveryContext): Deliveries {
  const unsigned = receivers.find(({ secret_env, secret }) => secret_env !== undefined && !secret);
  if (unsigned)
    throw new LoopscopeError(
      'config_invalid',
      `alerts.webhooks: secret_env names ${unsigned.secret_env}, but the environment has no such variable. Set it where the evals run, or remove secret_env.`,
    );
  const unique = [...new Map(receivers.map((receiver) => [receiver.url, receiver])).values()];
  const each = unique.map((receiver) => deliveriesTo(receiver, context));
  return {
    wake: () => {
      for (const deliveries of each) deliveries.wake();
    },
    pending: async () => (await Promise.all(each.map((d) => d.pending()))).reduce((a, b) => a + b, 0),
    run: async () => {
      await Promise.all(each.map((d) => d.run()));
    },
  };
}

/** Each receiver has a loop of its own, so that one that hangs delays no other. */
function deliveriesTo(
  receiver: WebhookConfig,
  { store, clock, metrics, log, signal, isTeller }: Omit<DeliveryContext, 'receivers'>,
): Deliveries {
  const { origin } = new URL(receiver.url);
  const attempts = new Map<string, Attempts>();
  let woken = Promise.withResolvers<void>();

  const owed = async (): Promise<{ key: string; alert: Alert }[]> => {
    const since = clock.now() - OWED_FOR_MS;
    const changes = await alertChanges(store, since);
    if (changes.length === 0) return [];
    const done = await deliveredKeys(store, since);
    return changes
      .map(({ alert }) => ({ key: keyOf(alert, receiver), alert }))
      .filter(({ key }) => !done.has(key));
  };

  /** One try, unless it is too early for it. `false` when the message is still owed. */
  const deliver = async (key: string, alert: Alert): Promise<boolean> => {
    const attempt = attempts.get(key) ?? { made: 0, nextAt: 0, takenAt: undefined };
    attempts.set(key, attempt);
    if (attempt.takenAt === undefined) {
      if (attempt.nextAt > clock.now()) return false;
      attempt.made++;
      const answer = await post(receiver, key, webhookBody(alert), clock, signal);
      if (!answer.taken) {
        if (signal.aborted) return false;
        metrics.add('webhook_failures_total', { receiver: origin });
        attempt.nextAt = clock.now() + Math.max(backoffMs(attempt.made, clock), answer.retryAfterMs);
        log.warn({ receiver: origin, attempt: attempt.made, reason: answer.reason }, 'webhook not taken');
        return false;
      }
      attempt.takenAt = clock.now();
      metrics.add('webhook_deliveries_total', { receiver: origin });
    }
    await recordDelivery(store, {
      delivery_key: key,
      alert_id: alert.alert_id,
      state: alert.state,
      receiver: origin,
      delivered_at: attempt.takenAt,
      attempts: attempt.made,
    });
    attempts.delete(key);
    return true;
  };

  /** One try of everything owed, oldest first; gives the time until the next is worth it. */
  const pass = async (): Promise<number> => {
    if (!isTeller()) return POLL_MS;
    const messages = await owed();
    const keys = new Set(messages.map(({ key }) => key));
    for (const key of attempts.keys()) if (!keys.has(key)) attempts.delete(key);
    const heldBack = new Set<string>();
    for (const { key, alert } of messages) {
      if (signal.aborted) break;
      if (!heldBack.has(alert.alert_id) && !(await deliver(key, alert))) heldBack.add(alert.alert_id);
    }
    return Math.min(POLL_MS, ...[...attempts.values()].map(({ nextAt }) => nextAt - clock.now()));
  };

  return {
    wake: () => woken.resolve(),
    pending: async () => (await owed()).length,
    run: async () => {
      while (!signal.aborted) {
        woken = Promise.withResolvers();
        let pauseMs = POLL_MS;
        try {
          pauseMs = await pass();
        } catch (error) {
          if (!signal.aborted) log.warn({ reason: (error as Error).message }, 'webhooks wait for the store');
        }
        const waiting = new AbortController();
        const stop = AbortSignal.any([signal, waiting.signal]);
        const pause = clock.sleep(Math.max(pauseMs, PAUSE_MS_MIN), stop).catch(() => {});
        await Promise.race([pause, woken.promise]);
        waiting.abort();
      }
    },
  };
}

const keyOf = (alert: Alert, receiver: WebhookConfig) =>
  contentHash([alert.alert_id, alert.state, receiver.url].join('\0'));

/** Full jitter: anywhere between at once and the doubled ceiling, so that many senders do not come back together. */
export const backoffMs = (attemptsMade: number, clock: Pick<Clock, 'random'>): number =>
  clock.random() * Math.min(BACKOFF_MS_MAX, BACKOFF_MS_BASE * 2 ** Math.min(attemptsMade, 30));

type Answer = { taken: true } | { taken: false; reason: string; retryAfterMs: number };

async function post(
  receiver: WebhookConfig,
  key: string,
  body: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<Answer> {
  const timestamp = String(Math.floor(clock.now() / 1000));
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'user-agent': 'loopscope',
    'idempotency-key': key,
    'x-loopscope-timestamp': timestamp,
  };
  if (receiver.secret !== undefined)
    headers['x-loopscope-signature'] = signature(receiver.secret, timestamp, body);
  try {
    const response = await request(receiver.url, {
      method: 'POST',
      headers,
      body,
      signal: AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_MS_MAX)]),
    });
    // Drained so that the connection can be used again; the status has said all there is.
    await response.body.dump().catch(() => {});
    if (response.statusCode >= 200 && response.statusCode < 300) return { taken: true };
    const retryAfterS = Number(response.headers['retry-after'] ?? 0);
    return {
      taken: false,
      reason: `answered ${response.statusCode}`,
      retryAfterMs: Math.min(Number.isFinite(retryAfterS) ? retryAfterS * 1000 : 0, RETRY_AFTER_MS_MAX),
    };
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    return { taken: false, reason: code ?? name, retryAfterMs: 0 };
  }
}
