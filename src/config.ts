import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { AlertSettings, type AlertsConfig, withSecrets } from './alert-settings.ts';
import { LoopscopeError } from './errors.ts';
import { CacheSettings, IdempotencySettings } from './gateway/idempotency/settings.ts';
import { LimitRule, LimitsWhenStoreAway } from './gateway/limits/settings.ts';
import { PriceSettings } from './gateway/price/settings.ts';
import { ProviderSettings, RESERVED_NAMES } from './gateway/provider-settings.ts';
import { ModelsSettings, modelComplaints, RoutingSettings } from './gateway/routing/settings.ts';
import { parseYaml, readYamlFile } from './yaml-file.ts';

/**
 * Settings, from `loopscope.yaml` under `LOOPSCOPE_*` overrides: one schema, one frozen object. This is the only
 * reader of the environment (the OpenTelemetry SDK reads its own `OTEL_*`).
 */

const port = z.number().int().min(0).max(65535);
/** ClickHouse's times end in 2106, and a row's end must not be past it. */
const days = z.number().int().positive().max(10_000);
const url = z.url({ protocol: /^https?$/ }).transform((u) => u.replace(/\/+$/, ''));
const name = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'a name has letters, digits, ".", "_" and "-" only');

/** A file, or a URL that nobody on the way can change. */
const calendarSource = z
  .string()
  .min(1)
  .refine(
    (named) =>
      !/^[a-z]+:\/\//i.test(named) ||
      /^https:\/\//.test(named) ||
      /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(?=[:/]|$)/.test(named),
    'expected a file, an https URL, or http on this machine',
  );

const ConfigFile = z.strictObject({
  data_dir: z.string().default('.loopscope'),
  registry: z.enum(['open', 'strict']).default('open'),
  clickhouse: z
    .strictObject({
      /** An existing server; without it `up` runs the embedded one. */
      url: url.optional(),
      http_port: port.default(8123),
      native_port: port.default(9000),
      memory_bytes_max: z.number().int().positive().default(4_000_000_000),
      /** Name of a cluster that the server at `url` belongs to: what it stores is then one shard of all. */
      cluster: name.optional(),
      /** The cluster has Keeper, and its shards replicas. */
      replicated: z.boolean().default(true),
    })
    .prefault({}),
  gateway: z
    .strictObject({
      host: z.string().default('127.0.0.1'),
      port: port.default(4000),
      /** Calls that name no run belong to the loop's open run until it was quiet this long. */
      run_idle_s: z.number().positive().default(120),
      /** Spans that no collector has yet, in `<data_dir>/gateway/spool`; of each worker in `…/gateway/worker-<n>/spool`. */
      spool: z
        .strictObject({
          /** What the span of an answer survives. `power_loss` forces the disk before the answer's last byte goes out. */
          durability: z.enum(['power_loss', 'process_crash']).default('process_crash'),
          /** Full, the gateway answers 503: no call is made whose span has no place. */
          bytes_max: z.number().int().min(1_000_000).default(1_073_741_824),
        })
        .prefault({}),
      /** A sub-agent that names a sub-agent as its parent: delegation is one level deep. */
      nested_agents: z.enum(['refuse', 'flag']).default('refuse'),
      /** A line of the log for every call: who called what and how it went, never what was said. */
      access_log: z.boolean().default(false),
      /** Processes that share the port, one a core; limits then need `redis_url`. */
      workers: z.number().int().min(1).max(64).default(1),
      /** At the end /readyz says 503 for so long while calls are still taken, until load balancers send no more. */
      unready_s: z.number().min(0).max(600).default(0),
      /** After that calls under way have so long to end. */
      drain_s: z.number().min(0).max(3_600).default(20),
      idempotency: IdempotencySettings,
      cache: CacheSettings,
    })
    .prefault({}),
  collector: z
    .strictObject({
      host: z.string().default('127.0.0.1'),
      port: port.default(4318),
      /** OTLP over gRPC. */
      grpc_port: port.default(4317),
      /** Names the variable with the bearer token that senders must show; anyone may send where it is not set. */
      token_env: z.string().min(1).optional(),
      /** Files with certificate and key in PEM, relative to the settings' folder; plain text without them. */
      tls: z.strictObject({ cert_file: z.string().min(1), key_file: z.string().min(1) }).optional(),
      /** Who signed the certificate, in PEM, for those who send to the collector; `tls.cert_file` itself without it. */
      ca_file: z.string().min(1).optional(),
      /** Where a gateway on its own sends its spans; `up` fills it in. */
      url: url.optional(),
      /** What is acknowledged and not in ClickHouse yet, in `<data_dir>/spool`. */
      spool: z
        .strictObject({
          /** The disk is forced at most once in this time; a request waits up to this long for company. */
          commit_ms: z.number().min(0).max(1_000).default(5),
          /** What an acknowledged span survives. `process_crash` is faster: a power cut loses the last seconds. */
          durability: z.enum(['power_loss', 'process_crash']).default('power_loss'),
          /** Full, the collector answers 503 and senders keep what they have. */
          bytes_max: z.number().int().min(1_000_000).default(2_147_483_648),
          /** With a request older than this waiting for ClickHouse no more are taken. */
          age_max_h: z.number().positive().default(168),
        })
        .prefault({}),
    })
    .prefault({}),
  evals: z
    .strictObject({
      host: z.string().default('127.0.0.1'),
      port: port.default(4320),
      /** How often loops with new scores are looked at. */
      detect_every_s: z.number().positive().default(15),
      /** Of the loops that stand out in the fleet, the share of false ones that is borne: an alarm is told when its loop does. */
      fleet_fdr: z.number().gt(0).max(1).default(0.05),
      /** A run without an explicit end counts as over when it was quiet this long. */
      run_idle_s: z.number().positive().default(300),
      /** Where probes are sent; the gateway of these settings without it. */
      gateway_url: url.optional(),
      /** Suites that a process scores at the same time. */
      suites_at_once: z.number().int().min(1).max(64).default(8),
      /** With `redis_url`: jobs of a process that gave no sign for so long are taken up by another. */
      lease_s: z.number().min(0.5).max(600).default(15),
      /** Names the variable with the bearer token that who labels runs must show; without it only this machine may. */
      token_env: z.string().min(1).optional(),
    })
    .prefault({}),
  /** Rows are removed when they are older than this many days; for ever where there is no number. */
  retention: z
    .strictObject({
      traces_days: days.optional(),
      /** Prompts and answers. */
      messages_days: days.optional(),
      logs_days: days.optional(),
      metrics_days: days.optional(),
    })
    .prefault({}),
  providers: z.record(name, ProviderSettings).default({}),
  /** Virtual models by the name that callers ask for, and how calls are routed. */
  models: ModelsSettings.default({}),
  routing: RoutingSettings,
  /** Budgets and rates of all loops; a loop's own are in its file. */
  limits: z.array(LimitRule).default([]),
  limits_when_store_away: LimitsWhenStoreAway,
  /**
   * Where gateways share budgets, rates, kills and idempotency keys, each has its own without it, and where evals
   * processes share their jobs; without it there may be one.
   */
  redis_url: z.url({ protocol: /^rediss?$/ }).optional(),
  /** Before the public list of prices. */
  prices: z.array(PriceSettings).default([]),
  /** Who is told of alerts, and of which. */
  alerts: AlertSettings,
  /** Watches for models that are retired or replaced while loops use them. */
  model_watch: z
    .strictObject({
      /** Retirements beside those that ship with the program, in the same format; a file is relative to the settings' folder. */
      calendar: calendarSource.optional(),
      /** How often the calendar and the providers' lists of models are read. */
      poll_h: z.number().min(0.1).max(500).default(6),
      /** So many days before a model in use retires, its loop's owner is told. */
      notice_days: z.array(z.number().int().min(0).max(365)).max(10).default([30, 7, 1]),
    })
    .prefault({}),
  log_level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

export type ConfigFile = z.infer<typeof ConfigFile>;

export interface ProviderConfig extends ProviderSettings {
  /** The key itself, where the environment has it. */
  api_key: string | undefined;
}

export interface CollectorConfig extends Omit<ConfigFile['collector'], 'tls' | 'ca_file'> {
  /** The token itself, where the environment has it. */
  token: string | undefined;
  tls: { cert_file: string; key_file: string } | undefined;
  ca_file: string | undefined;
}

export type EvalsConfig = ConfigFile['evals'] & {
  /** The token itself, where the environment has it. */
  token: string | undefined;
};

/** The cluster that the settings name, as a store takes it. */
export const clusterOf = ({ clickhouse }: Pick<ConfigFile, 'clickhouse'>) =>
  clickhouse.cluster === undefined
    ? undefined
    : { name: clickhouse.cluster, replicated: clickhouse.replicated };

export interface Config extends Omit<ConfigFile, 'providers' | 'alerts' | 'collector' | 'evals'> {
  /** The file it came from; `undefined` when there is none and the defaults hold. */
  path: string | undefined;
  /** Folder with `loops/` and `suites/` in it. */
  directory: string;
  collector: CollectorConfig;
  evals: EvalsConfig;
  providers: Record<string, ProviderConfig>;
  /** The key that a variable holds, for targets of models that have one of their own. */
  keyOf: (variable: string) => string | undefined;
  alerts: AlertsConfig;
  /** Where the gateway's spans go besides our collector, by the standard `OTEL_*` variables. */
  otel_export: OtelExport;
}

const PROVIDER_DEFAULTS = {
  openai: { base_url: 'https://api.openai.com/v1', api_key_env: 'OPENAI_API_KEY', query: {} },
  anthropic: { base_url: 'https://api.anthropic.com', api_key_env: 'ANTHROPIC_API_KEY', query: {} },
};

/** Environment variable → where it goes in the file's shape. */
const OVERRIDES: Record<string, readonly [...string[]]> = {
  LOOPSCOPE_DATA_DIR: ['data_dir'],
  LOOPSCOPE_REGISTRY: ['registry'],
  LOOPSCOPE_LOG_LEVEL: ['log_level'],
  LOOPSCOPE_REDIS_URL: ['redis_url'],
  LOOPSCOPE_CLICKHOUSE_URL: ['clickhouse', 'url'],
  LOOPSCOPE_CLICKHOUSE_CLUSTER: ['clickhouse', 'cluster'],
  LOOPSCOPE_CLICKHOUSE_PORT: ['clickhouse', 'http_port'],
  LOOPSCOPE_CLICKHOUSE_NATIVE_PORT: ['clickhouse', 'native_port'],
  LOOPSCOPE_GATEWAY_HOST: ['gateway', 'host'],
  LOOPSCOPE_GATEWAY_PORT: ['gateway', 'port'],
  LOOPSCOPE_GATEWAY_WORKERS: ['gateway', 'workers'],
  LOOPSCOPE_COLLECTOR_HOST: ['collector', 'host'],
  LOOPSCOPE_COLLECTOR_PORT: ['collector', 'port'],
  LOOPSCOPE_COLLECTOR_GRPC_PORT: ['collector', 'grpc_port'],
  LOOPSCOPE_COLLECTOR_URL: ['collector', 'url'],
  LOOPSCOPE_EVALS_HOST: ['evals', 'host'],
  LOOPSCOPE_EVALS_PORT: ['evals', 'port'],
};

/**
 * - `off`: spans go to Loopscope's collector only.
 * - `spans`: also to where `OTEL_EXPORTER_OTLP_*` point, without what was said in the calls.
 * - `spans_and_content`: with it; asked for by the variable that the GenAI instrumentations share.
 */
export type OtelExport = 'off' | 'spans' | 'spans_and_content';

/** What the standard variables ask of us beyond what the SDK reads by itself. */
export function otelExport(env: Readonly<Record<string, string | undefined>>): OtelExport {
  const endpoint = env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] || env['OTEL_EXPORTER_OTLP_ENDPOINT'];
  if (!endpoint || env['OTEL_TRACES_EXPORTER'] === 'none' || env['OTEL_SDK_DISABLED'] === 'true')
    return 'off';
  const capture = env['OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT']?.toLowerCase();
  return capture === 'true' || capture === 'span_only' || capture === 'span_and_event'
    ? 'spans_and_content'
    : 'spans';
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** The key that a variable holds. */
export const keysIn =
  (env: Environment = process.env) =>
  (variable: string): string | undefined =>
    env[variable] || undefined;

/** What a program that is started here finds in its environment: what is here, `more`, and `defaults` for what is not. */
export const childEnvironment = (
  defaults: Record<string, string>,
  more: Record<string, string>,
): Environment => ({ ...defaults, ...process.env, ...more });

/**
 * Reads the settings. `path` is what `--config` named; without it `./loopscope.yaml` where there is one.
 * Throws `config_invalid`.
 */
export function loadConfig(path?: string, env: Environment = process.env): Config {
  const file = path ?? (existsSync('loopscope.yaml') ? 'loopscope.yaml' : undefined);
  const parsed = file ? readYamlFile(file, ConfigFile) : parseYaml('loopscope.yaml', '', ConfigFile);
  const settings = override(parsed, env);
  const directory = file ? dirname(resolve(file)) : process.cwd();
  const providers: Record<string, ProviderConfig> = Object.create(null);
  for (const [provider, p] of Object.entries({ ...PROVIDER_DEFAULTS, ...settings.providers })) {
    providers[provider] = { ...p, api_key: p.api_key_env ? env[p.api_key_env] : undefined };
  }
  checkProviders(providers, settings.models);
  if (settings.clickhouse.cluster !== undefined && settings.clickhouse.url === undefined)
    throw new LoopscopeError(
      'config_invalid',
      'clickhouse.cluster: the embedded ClickHouse is in none; name a server of the cluster in clickhouse.url (LOOPSCOPE_CLICKHOUSE_URL).',
    );
  const { alerts, complaints } = withSecrets(settings.alerts, env);
  if (complaints.length > 0) throw new LoopscopeError('config_invalid', complaints.join('\n'));
  const { token_env, tls, ca_file } = settings.collector;
  const evalsToken = settings.evals.token_env;
  return deepFreeze({
    ...settings,
    evals: { ...settings.evals, token: evalsToken ? env[evalsToken] || undefined : undefined },
    collector: {
      ...settings.collector,
      token: token_env ? env[token_env] || undefined : undefined,
      tls: tls && {
        cert_file: resolve(directory, tls.cert_file),
        key_file: resolve(directory, tls.key_file),
      },
      ca_file: ca_file && resolve(directory, ca_file),
    },
    path: file && resolve(file),
    directory,
    data_dir: resolve(directory, settings.data_dir),
    otel_export: otelExport(env),
    providers,
    keyOf: keysIn(env),
    alerts,
  });
}

/** Throws `config_invalid` for a name that paths use otherwise, and for models whose targets nobody knows. */
function checkProviders(providers: Record<string, ProviderConfig>, models: ModelsSettings): void {
  const names = new Set(Object.keys(providers));
  const complaints = [
    ...[...names]
      .filter((name) => RESERVED_NAMES.has(name))
      .map((name) => `providers.${name}: paths have another use for this name; choose another.`),
    ...modelComplaints(models, names),
  ];
  if (complaints.length > 0) throw new LoopscopeError('config_invalid', complaints.join('\n'));
}

function override(parsed: ConfigFile, env: Environment): ConfigFile {
  const merged = structuredClone(parsed) as unknown as Record<string, unknown>;
  const set: string[] = [];
  for (const [variable, path] of Object.entries(OVERRIDES)) {
    const text = env[variable];
    if (text === undefined || text === '') continue;
    set.push(variable);
    let at = merged;
    for (const field of path.slice(0, -1)) at = at[field] as Record<string, unknown>;
    at[path.at(-1)!] = /_(PORT|WORKERS)$/.test(variable) && /^\d+$/.test(text) ? Number(text) : text;
  }
  const result = ConfigFile.safeParse(merged);
  if (result.success) return result.data;
  const complaints = result.error.issues.map((issue) => {
    const variable = set.find((v) => OVERRIDES[v]!.join('.') === issue.path.join('.'));
    return `environment: ${variable ?? issue.path.join('.')}: ${issue.message} (found ${JSON.stringify(variable && env[variable])})`;
  });
  throw new LoopscopeError('config_invalid', complaints.join('\n'));
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
