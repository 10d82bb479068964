import { type Clock, systemClock } from '../../src/clock.ts';
import { type Config, keysIn } from '../../src/config.ts';

/** What scorers need of the world: time and chance, the variables that a suite names, and our own gateway. */
export interface ScorerServices {
  clock: Clock;
  /** A variable of the environment that a suite names. */
  keyOf: (variable: string) => string | undefined;
  /** Where judges are called when the suite names no other place; without a slash at its end. */
  gatewayUrl: string;
  /** Told of each answer of a judge that has to be paid. */
  paid?: (answer: Paid) => void;
}

/** An answer of a model, by whose API it came, and what it used. */
export interface Paid {
  api: 'openai' | 'anthropic';
  model: string;
  inputTokens: number;
  outputTokens: number;
}

/** Those of a configuration; `gatewayUrl` where the running gateway is known to be elsewhere than configured. */
export function scorerServices(
  config: Pick<Config, 'gateway' | 'keyOf'>,
  clock: Clock,
  gatewayUrl?: string,
  paid?: (answer: Paid) => void,
): ScorerServices {
  const { host, port } = config.gateway;
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  const named = reachable.includes(':') ? `[${reachable}]` : reachable;
  return {
    clock,
    keyOf: config.keyOf,
    gatewayUrl: gatewayUrl ?? `http://${named}:${port}`,
    ...(paid && { paid }),
  };
}

/** Those of the defaults, for who has no configuration at hand. */
export const defaultServices = (): ScorerServices => ({
  clock: systemClock(),
  keyOf: keysIn(),
  gatewayUrl: 'http://127.0.0.1:4000',
});
