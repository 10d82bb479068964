import { type AlertsConfig, type ReceiverConfig, secretVariable } from '../../src/alert-settings.ts';
import type { Clock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { alertmanager } from './alertmanager.ts';
import { createBookReader } from './book.ts';
import { type Courier, type CourierContext, createCourier } from './courier.ts';
import { pagerDuty } from './pagerduty.ts';
import type { Item, Notice, Receiver } from './receiver.ts';
import { slack } from './slack.ts';
import { webhook } from './webhook.ts';

/**
 * Tells receivers of changes of alert state: book → plan → courier → receiver.
 *
 * What is owed is read from the tables: changes less deliveries. So a restart takes up what was left, and nothing that
 * was delivered and written down goes out again.
 */
export type Notifications = Courier;

export type NotificationContext = Omit<CourierContext, 'book' | 'routeName'>;

/** Throws `config_invalid` for a receiver whose secret is named and not there. */
export function createNotifications(context: NotificationContext): Notifications {
  const { settings, clock, store } = context;
  const missing = missingSecrets(settings);
  if (missing.length > 0) throw new LoopscopeError('config_invalid', missing.join('\n'));
  const book = createBookReader(store, clock);
  const each = [...byUrl(context), ...byName(context)].map(([receiver, routeName]) =>
    createCourier(receiver, { ...context, book, routeName }),
  );
  return {
    wake: () => {
      for (const courier of each) courier.wake();
    },
    pending: async () => (await Promise.all(each.map((c) => c.pending()))).reduce((a, b) => a + b, 0),
    run: async () => {
      await Promise.all(each.map((c) => c.run()));
    },
  };
}

/** The webhooks of the short form, which have no name. */
function byUrl({
  settings,
  clock,
}: Pick<NotificationContext, 'settings' | 'clock'>): [Receiver, undefined][] {
  const unique = [...new Map(settings.webhooks.map((hook) => [hook.url, hook])).values()];
  return unique.map((hook) => [webhook(new URL(hook.url).origin, hook, clock), undefined]);
}

function missingSecrets({ webhooks, receivers }: AlertsConfig): string[] {
  const named = [
    ...webhooks.map(({ secret_env, secret }) => ['webhooks', 'secret_env', secret_env, secret] as const),
    ...Object.entries(receivers).map(
      ([name, receiver]) =>
        [
          `receivers.${name}`,
          SECRET_FIELDS[receiver.type],
          secretVariable(receiver),
          receiver.secret,
        ] as const,
    ),
  ];
  return named.flatMap(([where, field, variable, secret]) =>
    variable === undefined || secret
      ? []
      : `alerts.${where}: ${field} names ${variable}, but the environment has no such variable. Set it where the evals run, or remove ${where === 'webhooks' ? field : 'the receiver'}.`,
  );
}

const SECRET_FIELDS = {
  alertmanager: 'token_env',
  slack: 'url_env',
  pagerduty: 'routing_key_env',
  webhook: 'secret_env',
} as const satisfies Record<ReceiverConfig['type'], string>;

/** The receivers that have names, and these. */
function byName({ settings, clock }: Pick<NotificationContext, 'settings' | 'clock'>): [Receiver, string][] {
  const linkOf = ({ alert }: Item) =>
    settings.link_url
      ?.replaceAll('{loop}', encodeURIComponent(alert.loop))
      .replaceAll('{alert}', encodeURIComponent(alert.alert_id));
  return Object.entries(settings.receivers).flatMap(([name, config]) =>
    receiversOf(name, config, clock, linkOf).map((receiver): [Receiver, string] => [receiver, name]),
  );
}

/** One, or one for each Alertmanager of several. */
function receiversOf(
  name: string,
  config: ReceiverConfig,
  clock: Clock,
  linkOf: (item: Item) => string | undefined,
): Receiver[] {
  const linkTo = ({ members }: Notice) => members[0] && linkOf(members[0]);
  switch (config.type) {
    case 'alertmanager':
      return config.urls.map((url, i) => {
        const place = config.urls.length === 1 ? name : `${name}[${i}]`;
        const settings = { url, token: config.secret, resendMs: config.resend_s * 1000 };
        return alertmanager(place, settings, clock, linkOf);
      });
    case 'slack':
      return [slack(name, config.secret!, linkTo)];
    case 'pagerduty':
      return [pagerDuty(name, { url: config.url, routingKey: config.secret! }, linkTo)];
    case 'webhook':
      return [webhook(name, config, clock)];
  }
}
