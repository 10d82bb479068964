import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { LoopscopeError } from '../errors.ts';
import type { Replay } from './idempotency/replay.ts';
import type { IdentityOptions } from './identity.ts';
import type { InferenceMetrics } from './inference-metrics.ts';
import type { Limiter } from './limits/limiter.ts';
import type { Metrics } from './metrics.ts';
import { Prices } from './price.ts';
import type { ProviderTarget } from './provider.ts';
import { providerTarget } from './provider.ts';
import { type ProviderApi, providerApi } from './provider-api.ts';
import type { Recorder } from './record/recorder.ts';
import type { ProviderApis } from './route.ts';
import type { Router, RouterOptions } from './routing/plan.ts';
import type { RoutingContext } from './routing/routed-call.ts';
import type { Runs } from './runs.ts';
import type { UnderWay } from './under-way.ts';

/** A provider of the settings. */
export interface ConfiguredProvider {
  api: ProviderApi;
  endpoint: ProviderTarget;
}

/** What follows from the settings, and is replaced as a whole when they change. */
export interface Settings {
  providers: ReadonlyMap<string, ConfiguredProvider>;
  /** Those besides `openai` and `anthropic`, for paths. */
  others: ProviderApis;
  prices: Prices;
  strict: boolean;
  nestedAgents: Config['gateway']['nested_agents'];
  accessLog: boolean;
}

/** What a call passes through, put together once at the start. */
export interface CallContext {
  settings: Settings;
  router: Router;
  routing: RoutingContext;
  limiter: Limiter;
  replay: Replay;
  identity: IdentityOptions;
  runs: Runs;
  recorder: Recorder;
  metrics: Metrics;
  inference: InferenceMetrics;
  clock: Clock;
  log: Logger;
  /** Calls whose span is still to come. */
  unrecorded: UnderWay;
}

export function settingsOf(config: Config): Settings {
  const providers = new Map<string, ConfiguredProvider>();
  const others = new Map<string, ProviderApi['protocol']['api']>();
  for (const [name, provider] of Object.entries(config.providers)) {
    const api = providerApi(name, provider);
    providers.set(name, { api, endpoint: providerTarget(provider) });
    if (name !== 'openai' && name !== 'anthropic') others.set(name, api.protocol.api);
  }
  return {
    providers,
    others,
    prices: new Prices(config.providers, config.prices),
    strict: config.registry === 'strict',
    nestedAgents: config.gateway.nested_agents,
    accessLog: config.gateway.access_log,
  };
}

/** Throws `provider_unknown`. */
export function configuredProvider({ providers }: Settings, name: string): ConfiguredProvider {
  const known = providers.get(name);
  if (known) return known;
  throw new LoopscopeError('provider_unknown', `No provider is called ${JSON.stringify(name)}.`);
}

export const routerOptions = (
  config: Config,
  { providers }: Settings,
  random: () => number,
): RouterOptions => ({
  routing: config.routing,
  models: config.models,
  providers: new Map(
    [...providers].map(([name, { api, endpoint }]) => [name, { api: api.protocol.api, endpoint }]),
  ),
  key: config.keyOf,
  random,
});
