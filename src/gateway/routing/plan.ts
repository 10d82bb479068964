import { LoopscopeError } from '../../errors.ts';
import type { ProviderTarget } from '../provider.ts';
import {
  type CallPolicy,
  callPolicy,
  type ModelSettings,
  type ModelsSettings,
  type RoutingSettings,
  type TargetSettings,
} from './settings.ts';
import { HealthBook, type Target } from './target.ts';

/**
 * Which targets a call may go to, and in which order. What is fixed by the settings is worked out once; a call for a
 * model that has one target gets a plan that is there already.
 *
 * - A model that is no virtual one has one target: the provider whose path was called.
 * - Nothing is translated: only targets whose provider speaks the API that was called are taken.
 * - A caller's own key never goes to another provider than the one it was sent for.
 */
export interface Plan {
  /** The virtual model; `undefined` where none was asked for. */
  readonly model: string | undefined;
  /** At least one, best first. Their breakers are looked at when an attempt is made. */
  readonly targets: readonly Target[];
  readonly policy: CallPolicy;
  /** Whether what the targets take to answer is of use. */
  readonly measures: boolean;
}

export interface RoutedProvider {
  /** What it speaks; a call stays with providers of its own API. */
  api: string;
  endpoint: ProviderTarget;
}

export interface RouterOptions {
  routing: RoutingSettings;
  models: ModelsSettings;
  providers: ReadonlyMap<string, RoutedProvider>;
  /** The key that a variable holds. */
  key: (variable: string) => string | undefined;
  /** Uniform in [0, 1). */
  random: () => number;
}

export interface PlanRequest {
  /** As the caller wrote it. */
  model: string | undefined;
  /** The loop's own models, which come before those of all. */
  loopModels: ModelsSettings | undefined;
  /** Whose path was called. */
  provider: string;
  /** Whether the call is made with the gateway's key, or with the caller's. */
  gatewayKey: boolean;
}

/** A model's targets that may take a call of one kind. */
interface Choice {
  plan: Plan;
  pick: ModelSettings['pick'];
  weights: readonly number[];
  priorities: readonly number[];
}

/** Share of calls that go to any target, so that one that was slow once is measured again. */
const EXPLORED_SHARE = 0.05;

export class Router {
  readonly health: HealthBook;
  #options: RouterOptions;
  #direct = new Map<string, Plan>();
  /** By the object that holds a model's settings, which is the same for as long as they are. */
  #choices = new WeakMap<ModelSettings, Map<string, Choice | null>>();

  constructor(options: RouterOptions) {
    this.#options = options;
    this.health = new HealthBook(options.routing);
  }

  /** Takes new settings over. Calls under way keep their plans, targets what was seen of them. */
  reload(options: RouterOptions): void {
    this.#options = options;
    this.health.reload(options.routing);
    this.#direct = new Map();
    this.#choices = new WeakMap();
  }

  /** Throws `provider_unknown`, and `model_not_served` where no target of a virtual model may take the call. */
  plan(request: PlanRequest): Plan {
    const { model, loopModels, provider, gatewayKey } = request;
    const settings =
      model === undefined ? undefined : (own(loopModels, model) ?? own(this.#options.models, model));
    if (settings === undefined) return this.#directPlan(provider);
    const kind = `${gatewayKey ? 'any' : 'own'} ${provider}`;
    let choices = this.#choices.get(settings);
    if (!choices) {
      choices = new Map();
      this.#choices.set(settings, choices);
    }
    let choice = choices.get(kind);
    if (choice === undefined) {
      choice = this.#choose(model!, settings, provider, gatewayKey);
      choices.set(kind, choice);
    }
    if (choice === null) throw notServed(model!, provider, gatewayKey);
    const { plan } = choice;
    return plan.targets.length === 1 ? plan : { ...plan, targets: this.#order(choice) };
  }

  #directPlan(provider: string): Plan {
    let plan = this.#direct.get(provider);
    if (!plan) {
      const { endpoint } = this.#provider(provider);
      const target = this.#target(provider, provider, undefined, endpoint, undefined);
      plan = {
        model: undefined,
        targets: [target],
        policy: callPolicy(this.#options.routing),
        measures: false,
      };
      this.#direct.set(provider, plan);
    }
    return plan;
  }

  #choose(model: string, settings: ModelSettings, provider: string, gatewayKey: boolean): Choice | null {
    const { api } = this.#provider(provider);
    const fitting = settings.targets
      .map((target, place) => ({ target, place, provider: this.#provider(target.provider) }))
      .filter((t) => t.provider.api === api && (gatewayKey || t.target.provider === provider));
    if (fitting.length === 0) return null;
    return {
      plan: {
        model,
        targets: fitting.map((t) => this.#virtualTarget(t.target, t.provider.endpoint)),
        policy: callPolicy(this.#options.routing, settings),
        measures: settings.pick === 'latency' && fitting.length > 1,
      },
      pick: settings.pick,
      weights: fitting.map((t) => t.target.weight ?? 1),
      priorities: fitting.map((t) => t.target.priority ?? t.place),
    };
  }

  #virtualTarget(settings: TargetSettings, endpoint: ProviderTarget): Target {
    const { provider, model, api_key_env } = settings;
    const name = model === undefined ? provider : `${provider}/${model}`;
    const own = api_key_env === undefined ? endpoint : this.#withKey(endpoint, api_key_env);
    return this.#target(name, provider, model, own, api_key_env);
  }

  #withKey(endpoint: ProviderTarget, variable: string): ProviderTarget {
    return { ...endpoint, apiKey: this.#options.key(variable) || undefined, apiKeyEnv: variable };
  }

  #target(
    name: string,
    provider: string,
    model: string | undefined,
    endpoint: ProviderTarget,
    key: string | undefined,
  ): Target {
    const health = this.health.health(name, key);
    return { name, provider, model, endpoint, health, budget: this.health.budget(provider) };
  }

  #provider(name: string): RoutedProvider {
    const provider = this.#options.providers.get(name);
    if (provider) return provider;
    throw new LoopscopeError(
      'provider_unknown',
      `No provider is called ${JSON.stringify(name)}. Name it under \`providers\`, or correct the target of the model.`,
    );
  }

  #order({ plan: { targets }, pick, weights, priorities }: Choice): Target[] {
    const { random } = this.#options;
    const first: number[] = [];
    // Weighted sampling without replacement (Efraimidis and Spirakis 2006): an exponential time for each, by its
    // weight, and who has the shortest comes first. Weight 0 takes for ever.
    const second = weights.map((weight) =>
      weight === 0 ? Number.POSITIVE_INFINITY : -Math.log(1 - random()) / weight,
    );
    if (pick === 'priority') first.push(...priorities);
    if (pick === 'latency' && random() >= EXPLORED_SHARE)
      for (const { health } of targets) first.push(health.latencyMs ?? 0);
    return targets
      .map((_, i) => i)
      .sort((a, b) => (first[a] ?? 0) - (first[b] ?? 0) || compare(second[a]!, second[b]!))
      .map((i) => targets[i]!);
  }
}

/** Of two that take for ever neither comes first, and their difference is no number. */
const compare = (a: number, b: number): number => (a < b ? -1 : a > b ? 1 : 0);

/** A model's name is a stranger's: it must not find what every object has. */
const own = (models: ModelsSettings | undefined, name: string): ModelSettings | undefined =>
  models !== undefined && Object.hasOwn(models, name) ? models[name] : undefined;

function notServed(model: string, provider: string, gatewayKey: boolean): LoopscopeError {
  const why = gatewayKey
    ? `None of the targets of the model ${JSON.stringify(model)} speaks the API of ${provider}, with which it was asked for.`
    : `None of the targets of the model ${JSON.stringify(model)} is at ${provider}, and the call came with a key of its own, ` +
      'which goes nowhere else. Call with a Loopscope key.';
  return new LoopscopeError('model_not_served', why);
}
