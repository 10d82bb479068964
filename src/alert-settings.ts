import { z } from 'zod';
import { cron } from './registry/loop.ts';

/**
 * What `loopscope.yaml` says under `alerts`: who is told of alerts, who of which, in what company, and what is not to be
 * told for a while. Secrets are named by their variables and never stand in the file.
 */

/** Kinds of alerts that somebody may be told of. */
export const ALERT_KINDS = [
  'golden_drop',
  'checker_drift',
  'no_effect',
  'output_collapse',
  'model_retired',
  'unmeasured',
] as const;

/** How urgent an alert is: wakes somebody, can wait for the morning, is good to know. The most urgent first. */
export const SEVERITIES = ['page', 'ticket', 'info'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** What alerts can have in common. `cause` is what changed; an alert without one is its loop's own. */
export const GROUP_BY = ['cause', 'kind', 'loop', 'owner', 'team', 'severity'] as const;
export type GroupBy = (typeof GROUP_BY)[number];

const RECEIVERS_MAX = 100;
const RULES_MAX = 1_000;

const name = z
  .string()
  .min(1)
  .max(100)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'a name has letters, digits, ".", "_" and "-" only');
const variable = z.string().min(1);
const kinds = z.array(z.enum(ALERT_KINDS)).default([]);
/** Who and why, for those who ask later. */
const line = z.string().min(1).max(1_000);

/** A loop's name, or a pattern for several: `*` stands for anything, `?` for one character. */
export const loopGlob = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[A-Za-z0-9._*?-]+$/, 'expected the name of a loop, or a pattern such as nightly-*');

const url = z.url({ protocol: /^https?$/ });
/** Plain text may be read and changed on its way, unless it stays on this machine. */
const allow_http = z.boolean().default(false);

const Alertmanager = z.strictObject({
  type: z.literal('alertmanager'),
  /** Of each Alertmanager of a cluster: each is told, and they agree among themselves who is to be notified. */
  urls: z.array(url).min(1).max(10),
  allow_http,
  /** Names the variable with a bearer token. */
  token_env: variable.optional(),
  /** What fires is sent again so often. */
  resend_s: z.number().min(0.1).max(300).default(60),
});
const Slack = z.strictObject({
  type: z.literal('slack'),
  /** Names the variable with the URL of an incoming webhook, which is a secret as a whole. */
  url_env: variable,
  allow_http,
});
const PagerDuty = z.strictObject({
  type: z.literal('pagerduty'),
  /** Names the variable with the integration key. */
  routing_key_env: variable,
  /** Of the Events API; accounts in the EU have another. */
  url: url.default('https://events.pagerduty.com/v2/enqueue'),
  allow_http,
});
const Webhook = z.strictObject({
  type: z.literal('webhook'),
  url,
  allow_http,
  /** Names the variable with the secret that signs. */
  secret_env: variable.optional(),
});

const ReceiverSettings = z
  .discriminatedUnion('type', [Alertmanager, Slack, PagerDuty, Webhook])
  .superRefine((receiver, context) => {
    for (const [path, address] of addresses(receiver)) {
      const message = addressComplaint(address, receiver.allow_http);
      if (message) context.addIssue({ code: 'custom', path: [...path], message });
    }
  });

const addresses = (
  receiver: z.infer<typeof Alertmanager | typeof Slack | typeof PagerDuty | typeof Webhook>,
) =>
  receiver.type === 'alertmanager'
    ? receiver.urls.map((address, i) => [['urls', i], address] as const)
    : receiver.type === 'slack'
      ? []
      : [[['url'], receiver.url] as const];

/** What is wrong with where messages are to go; `undefined` when nothing is. Never shows the address. */
export function addressComplaint(address: string, allowHttp: boolean): string | undefined {
  const { protocol, hostname, username, password } = new URL(address);
  if (username || password) return 'expected a URL without a user name or password in it';
  if (protocol === 'https:' || allowHttp || isLoopback(hostname)) return undefined;
  return 'expected https, or http on this machine; allow_http: true allows http to others';
}

const isLoopback = (hostname: string) =>
  hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);

const timezone = z.string().refine(isTimezone, 'expected a time zone such as UTC or Europe/Berlin');

function isTimezone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

const Route = z.strictObject({
  /** As the registry has them. */
  owner: z.string().min(1).optional(),
  team: z.string().min(1).optional(),
  severity: z.enum(SEVERITIES).optional(),
  kinds,
  loop: loopGlob.optional(),
  /** Names; none for alerts that nobody is to be told of. */
  receivers: z.array(name).max(RECEIVERS_MAX),
});
export type Route = z.infer<typeof Route>;

const SilenceSettings = z.strictObject({
  loop: loopGlob,
  kinds,
  until: z.iso.datetime({ offset: true }),
  by: line,
  reason: line,
});

const Maintenance = z.strictObject({
  /** When it begins. */
  cron,
  timezone: timezone.default('UTC'),
  duration_m: z
    .number()
    .positive()
    .max(7 * 1_440),
  loop: loopGlob.default('*'),
  kinds,
  reason: line,
});
export type Maintenance = z.infer<typeof Maintenance>;

export const AlertSettings = z
  .strictObject({
    /** The short form of receivers of type `webhook`; these are told of every alert. */
    webhooks: z
      .array(
        z.strictObject({
          url: url.transform((address) => address.replace(/\/+$/, '')),
          secret_env: variable.optional(),
        }),
      )
      .default([]),
    receivers: z.record(name, ReceiverSettings).default({}),
    /** The first that an alert meets says who is told of it. */
    routes: z.array(Route).max(RULES_MAX).default([]),
    /** Who is told of what meets no route; every receiver without it. */
    default: z.array(name).max(RECEIVERS_MAX).optional(),
    /** Slack and PagerDuty get alerts that have these in common as one. */
    group_by: z.array(z.enum(GROUP_BY)).default(['cause']),
    /** A group's first message waits so long for others to join it. */
    group_wait_s: z.number().min(0).max(3_600).default(30),
    /** And so long the next one, unless all is well again. */
    group_interval_s: z.number().min(0).max(86_400).default(300),
    silences: z.array(SilenceSettings).max(RULES_MAX).default([]),
    maintenance: z.array(Maintenance).max(RULES_MAX).default([]),
    /** Where people look further, say a dashboard; {loop} and {alert} stand for the loop's name and the alert's id. */
    link_url: z.url({ protocol: /^https?$/ }).optional(),
  })
  .superRefine(({ receivers, routes, default: rest }, context) => {
    if (Object.keys(receivers).length > RECEIVERS_MAX)
      context.addIssue({
        code: 'custom',
        path: ['receivers'],
        message: `expected ${RECEIVERS_MAX} receivers at most`,
      });
    const lists = [
      ...routes.map((route, i) => [['routes', i, 'receivers'], route.receivers] as const),
      [['default'], rest ?? []] as const,
    ];
    for (const [path, names] of lists)
      for (const [i, one] of names.entries())
        if (!Object.hasOwn(receivers, one))
          context.addIssue({
            code: 'custom',
            path: [...path, i],
            message: 'expected a name under alerts.receivers',
          });
  })
  .prefault({});

type AlertSettings = z.infer<typeof AlertSettings>;

export interface WebhookConfig {
  url: string;
  secret_env: string | undefined;
  /** The secret itself, where the environment has it. Only who sends alerts needs it. */
  secret: string | undefined;
}

/** A receiver with its secret, where the environment has it. */
export type ReceiverConfig = z.infer<typeof ReceiverSettings> & { secret: string | undefined };

export interface AlertsConfig extends Omit<AlertSettings, 'webhooks' | 'receivers' | 'silences'> {
  webhooks: WebhookConfig[];
  receivers: Record<string, ReceiverConfig>;
  /** Ends in milliseconds since the epoch. */
  silences: (Omit<AlertSettings['silences'][number], 'until'> & { until: number })[];
}

/** The variable that holds a receiver's secret; `undefined` where it has none. */
export function secretVariable(receiver: z.infer<typeof ReceiverSettings>): string | undefined {
  switch (receiver.type) {
    case 'alertmanager':
      return receiver.token_env;
    case 'slack':
      return receiver.url_env;
    case 'pagerduty':
      return receiver.routing_key_env;
    case 'webhook':
      return receiver.secret_env;
  }
}

/** Takes the secrets from the environment. Gives complaints of those that cannot be right. */
export function withSecrets(
  { webhooks, receivers, silences, ...settings }: AlertSettings,
  env: Readonly<Record<string, string | undefined>>,
): { alerts: AlertsConfig; complaints: string[] } {
  const secretIn = (from: string | undefined) => (from ? env[from] || undefined : undefined);
  const named: Record<string, ReceiverConfig> = Object.create(null);
  const complaints: string[] = [];
  for (const [receiver, given] of Object.entries(receivers)) {
    const secret = secretIn(secretVariable(given));
    named[receiver] = { ...given, secret };
    if (given.type !== 'slack' || secret === undefined) continue;
    const message = URL.canParse(secret)
      ? addressComplaint(secret, given.allow_http)
      : 'expected the URL of an incoming webhook';
    if (message) complaints.push(`environment: ${given.url_env} (alerts.receivers.${receiver}): ${message}`);
  }
  return {
    alerts: {
      ...settings,
      webhooks: webhooks.map(({ url: address, secret_env }) => ({
        url: address,
        secret_env,
        secret: secretIn(secret_env),
      })),
      receivers: named,
      silences: silences.map((silence) => ({ ...silence, until: Date.parse(silence.until) })),
    },
    complaints,
  };
}
