import { type AlertsConfig, type ReceiverConfig, secretVariable } from '../alert-settings.ts';
import { LoopscopeError } from '../errors.ts';
import { type GivenUp, givenUpSince } from '../store/alerts.ts';
import type { Store } from '../store/client.ts';
import { listSilences } from '../store/silences.ts';
import { time } from './format.ts';
import { type Check, checkWebhooks, ok, warn } from './health-checks.ts';

/** What `doctor` says of who is told of alerts: whether secrets are at hand, what was refused for good, what is silenced. */

/** Older refusals are no news: the program does not tell of such changes either. */
const REFUSED_SINCE_MS = 7 * 86_400_000;
const SILENCES_MAX = 1_000;

export async function checkReceivers(alerts: AlertsConfig, store: Store, now: number): Promise<Check[]> {
  const named = Object.entries(alerts.receivers);
  const secrets = named.map(([name, receiver]) => checkReceiver(name, receiver));
  const webhooks = alerts.webhooks.length > 0 || named.length === 0 ? checkWebhooks(alerts.webhooks) : [];
  return [...webhooks, ...secrets, ...(await checkTelling(store, now))];
}

/** Whether a receiver's secret is at hand, and whether alerts can go there unread. Names no address: it may be the secret. */
export function checkReceiver(name: string, receiver: ReceiverConfig): Check {
  const what = `alert receiver ${name}`;
  const variable = secretVariable(receiver);
  if (variable && !receiver.secret)
    return warn(
      what,
      `${receiver.type}, ${variable} is not set`,
      `Set ${variable} where the evals run: without it they do not start.`,
    );
  if (receiver.type === 'webhook' && !variable)
    return warn(
      what,
      `${receiver.type}, not signed`,
      'Add secret_env, so that the receiver can tell our calls from others.',
    );
  return ok(what, `${receiver.type}${variable ? `, ${variable} is set` : ''}`);
}

/** What was given up, and what is silenced now. Nothing where the store is away, of which another check tells. */
async function checkTelling(store: Store, now: number): Promise<Check[]> {
  try {
    const refused = await givenUpSince(store, now - REFUSED_SINCE_MS);
    const silences = await listSilences(store, now, SILENCES_MAX);
    const silenced =
      silences.length === 0
        ? []
        : [
            ok(
              'alerts silenced',
              silences.map(({ loop, until }) => `${loop} until ${time(until)} UTC`).join(', '),
            ),
          ];
    return [...refused.map(ofRefused), ...silenced];
  } catch (error) {
    if (!(error instanceof LoopscopeError)) throw error;
    return [];
  }
}

const ofRefused = ({ receiver, changes, reason, at }: GivenUp): Check =>
  warn(
    `alert receiver ${receiver}`,
    `refused ${changes} change${changes === 1 ? '' : 's'} of alerts for good, last at ${time(at)} UTC: ${reason}`,
    'Correct its settings and start the evals again: what still fires is then sent once more.',
  );
