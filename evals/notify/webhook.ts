import type { WebhookConfig } from '../../src/alert-settings.ts';
import type { Clock } from '../../src/clock.ts';
import { contentHash } from '../../src/records/normalize.ts';
import { signature, webhookBody } from '../message.ts';
import { post } from './post.ts';
import type { Receiver } from './receiver.ts';

/**
 * A webhook of the receiver's own: a document for each change of state, signed over the time of sending, so that who
 * listens can tell ours from others' and old from new. `idempotency-key` is the same for every attempt at one change.
 */
export function webhook(
  name: string,
  { url, secret }: Pick<WebhookConfig, 'url' | 'secret'>,
  clock: Pick<Clock, 'now'>,
): Receiver {
  return {
    name,
    kind: 'webhook',
    grouped: false,
    // By its place and not its name: a name that is given to it later tells it nothing again.
    keyOf: ({ alert_id, state }) => contentHash([alert_id, state, url].join('\0')),
    send: ({ key, changes }, signal) => {
      const body = webhookBody(changes[0]!.alert);
      const timestamp = String(Math.floor(clock.now() / 1000));
      const headers: Record<string, string> = { 'idempotency-key': key, 'x-loopscope-timestamp': timestamp };
      if (secret !== undefined) headers['x-loopscope-signature'] = signature(secret, timestamp, body);
      return post({ url, body, headers, redact: secret }, signal);
    },
  };
}
