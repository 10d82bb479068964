import { z } from 'zod';

/**
 * How calls are routed, as it is written in `loopscope.yaml` (`routing`, `models`) and in a loop's own file
 * (`models`, which replaces a model of the same name as a whole). What is not set falls back: a model's value, then
 * `routing`, then the defaults here. They suit agents that nobody watches: a reasoning model may think for minutes,
 * and a retry costs less than a run that ends at night.
 */

const seconds = z.number().positive().max(86_400);

export const TimeoutSettings = z.strictObject({
  /** Until there is a connection, TLS included. */
  connect_s: seconds.optional(),
  /** From the request to the first byte of an answer's body; without streaming that is the whole answer. */
  first_token_s: seconds.optional(),
  /** Longest silence in an answer. Anything that comes ends it, a `ping` too. */
  between_tokens_s: seconds.optional(),
  /** All attempts, waits and the answer together. */
  total_s: seconds.optional(),
  /** A stream that is slower is given up, once it has run for a while. Every event counts as one token. 0: no floor. */
  tokens_per_s_min: z.number().min(0).max(10_000).optional(),
});

export const RetrySettings = z.strictObject({
  /** Further attempts after the first, on whatever target. */
  max: z.number().int().min(0).max(10).optional(),
  /** Upper end of the random wait before the second attempt at a target; it doubles with every further one. */
  initial_ms: z.number().int().positive().max(60_000).optional(),
  max_ms: z.number().int().positive().max(600_000).optional(),
  /** A provider that asks for a longer wait is not waited for: its answer goes to the caller. */
  retry_after_s_max: seconds.optional(),
});

export const BreakerSettings = z.strictObject({
  /** Calls of this last while are looked at. */
  window_s: seconds.default(30),
  /** With fewer of them their share of failures says nothing. */
  calls_min: z.number().int().positive().default(20),
  failure_share: z.number().positive().max(1).default(0.5),
  consecutive_failures: z.number().int().positive().default(5),
  /** How long a target is left alone before it is tried again. */
  cool_down_s: seconds.default(15),
  /** Calls at once that try it. */
  probes_max: z.number().int().positive().max(100).default(1),
});

export const RetryBudgetSettings = z.strictObject({
  /** Retries at a provider, as a share of the calls to it. */
  share: z.number().min(0).max(1).default(0.1),
  /** On top of that: a provider with few calls has to have some. */
  per_s: z.number().min(0).max(1_000).default(3),
});

export const RoutingSettings = z
  .strictObject({
    retries: RetrySettings.prefault({}),
    timeouts: TimeoutSettings.prefault({}),
    breaker: BreakerSettings.prefault({}),
    retry_budget: RetryBudgetSettings.prefault({}),
  })
  .prefault({});

/** Attempts know the targets they tried as bits of a number. */
export const TARGETS_PER_MODEL_MAX = 30;

const modelName = z.string().min(1).max(200);

export const TargetSettings = z.strictObject({
  /** A name under `providers`. */
  provider: z.string().min(1).max(200),
  /** What the provider calls the model; as the caller wrote it where not given. */
  model: modelName.optional(),
  /** Share of the calls, against the other targets'. 0: only when the others fail. */
  weight: z.number().min(0).max(1_000_000).optional(),
  /** Lower comes first; its place in the list where not given. */
  priority: z.number().int().min(0).max(1_000).optional(),
  /** Names the variable with a key for this target, instead of the provider's. */
  api_key_env: z.string().min(1).optional(),
});

export const ModelSettings = z.strictObject({
  targets: z.array(TargetSettings).min(1).max(TARGETS_PER_MODEL_MAX),
  pick: z.enum(['weight', 'priority', 'latency']).default('priority'),
  retries: RetrySettings.optional(),
  timeouts: TimeoutSettings.optional(),
});

/** Virtual models by the name that callers ask for. */
export const ModelsSettings = z.record(modelName, ModelSettings);

export type TimeoutSettings = z.infer<typeof TimeoutSettings>;
export type RetrySettings = z.infer<typeof RetrySettings>;
export type BreakerSettings = z.infer<typeof BreakerSettings>;
export type RetryBudgetSettings = z.infer<typeof RetryBudgetSettings>;
export type RoutingSettings = z.infer<typeof RoutingSettings>;
export type TargetSettings = z.infer<typeof TargetSettings>;
export type ModelSettings = z.infer<typeof ModelSettings>;
export type ModelsSettings = z.infer<typeof ModelsSettings>;

/** What is wrong with models, a line each: targets whose provider the settings do not have. */
export function modelComplaints(models: ModelsSettings, providers: ReadonlySet<string>): string[] {
  return Object.entries(models).flatMap(([model, { targets }]) =>
    targets
      .map((target, i) => [target, i] as const)
      .filter(([target]) => !providers.has(target.provider))
      .map(
        ([target, i]) =>
          `models.${model}.targets.${i}.provider: no provider is called ${JSON.stringify(target.provider)}; ` +
          `expected one of ${[...providers].sort().join(', ')}.`,
      ),
  );
}

/** What holds for one call, in milliseconds. */
export interface CallPolicy {
  retriesMax: number;
  initialWaitMs: number;
  waitMsMax: number;
  retryAfterMsMax: number;
  connectMs: number;
  firstTokenMs: number;
  betweenTokensMs: number;
  totalMs: number;
  /** 0: no floor. */
  tokensPerSMin: number;
}

const RETRIES = { max: 2, initial_ms: 500, max_ms: 8_000, retry_after_s_max: 60 };
const TIMEOUTS = {
  connect_s: 10,
  first_token_s: 600,
  between_tokens_s: 300,
  total_s: 3_600,
  tokens_per_s_min: 0,
};

/** The settings of a call, where those of its model come before those of all. */
export function callPolicy(
  routing: Pick<RoutingSettings, 'retries' | 'timeouts'>,
  model?: Pick<ModelSettings, 'retries' | 'timeouts'>,
): CallPolicy {
  const retries = { ...RETRIES, ...routing.retries, ...model?.retries };
  const timeouts = { ...TIMEOUTS, ...routing.timeouts, ...model?.timeouts };
  return {
    retriesMax: retries.max,
    initialWaitMs: retries.initial_ms,
    waitMsMax: retries.max_ms,
    retryAfterMsMax: retries.retry_after_s_max * 1000,
    connectMs: timeouts.connect_s * 1000,
    firstTokenMs: timeouts.first_token_s * 1000,
    betweenTokensMs: timeouts.between_tokens_s * 1000,
    totalMs: timeouts.total_s * 1000,
    tokensPerSMin: timeouts.tokens_per_s_min,
  };
}
