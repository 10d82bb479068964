import type { Clock } from '../src/clock.ts';
import type { Config } from '../src/config.ts';
import { LoopscopeError } from '../src/errors.ts';
import { Prices } from '../src/gateway/price.ts';
import type { Store } from '../src/store/client.ts';
import { scoreCosts } from '../src/store/score-costs.ts';
import { utcDay } from './sample.ts';
import { judgeApi } from './scorers/judge/ask.ts';
import type { JudgeModel } from './scorers/judge/settings.ts';
import type { Paid } from './scorers/services.ts';
import type { Suite } from './suite.ts';

/**
 * What a suite's judge costs, and what it may cost in a UTC day.
 *
 * Before a run is scored the day must have room for the dearest score of late; so the day ends over its cap by no more
 * than one score that was dearer than those before it. What was paid is kept with the scores, so the cap holds over
 * restarts. Two evaluators at one suite at the same time know of each other's costs when those are stored.
 *
 * With costs that nobody knows a cap would be none: such a suite is refused, not let go on.
 */
export interface Spending {
  /** Whether another score could take the day over its cap. Throws `cost_unknown` where nobody can know. */
  isSpent(): boolean;
  /** Scores that a day's cap pays for, at the mean cost of late; `undefined` where there is no cap, or no cost yet. */
  affordablePerDay: number | undefined;
  /** To be told of each answer that has to be paid. */
  paid(answer: Paid): void;
  /** What was paid since this was asked last; `null` where nothing was, or nobody knows how much. */
  take(): number | null;
}

export interface SpendingContext {
  store: Store;
  clock: Clock;
  config: Pick<Config, 'providers' | 'prices' | 'models'>;
}

/** Opens a suite's account. Throws `cost_unknown` where it has a cap and its judge no price. */
export async function openSpending(suite: Suite, context: SpendingContext): Promise<Spending> {
  const judge = judgeIn(suite);
  const costOf = judge ? costOfAnswers(judge, context) : () => undefined;
  const capUsd = suite.cost_usd_per_day;
  if (judge && capUsd !== undefined && !Object.hasOwn(context.config.models, judge.model)) {
    const nothing = { api: judgeApi(judge), model: judge.model, inputTokens: 0, outputTokens: 0 };
    if (costOf(nothing) === undefined) throw unknownCost(suite, judge.model);
  }
  const dayBegan = Date.parse(`${utcDay(context.clock.now())}T00:00:00Z`);
  const before = capUsd === undefined ? undefined : await scoreCosts(context.store, suite, dayBegan);
  let spentUsd = before?.spentUsd ?? 0;
  let dearestUsd = before?.dearestUsd ?? 0;
  let untakenUsd: number | null = null;
  let unknown: string | undefined;
  return {
    isSpent: () => {
      if (capUsd === undefined) return false;
      if (unknown !== undefined) throw unknownCost(suite, unknown);
      return spentUsd + dearestUsd > capUsd;
    },
    affordablePerDay:
      before && before.meanUsd > 0 ? Math.max(1, Math.floor(capUsd! / before.meanUsd)) : undefined,
    paid: (answer) => {
      const costUsd = costOf(answer);
      if (costUsd === undefined) unknown = answer.model;
      else untakenUsd = (untakenUsd ?? 0) + costUsd;
    },
    take: () => {
      const costUsd = unknown === undefined ? untakenUsd : null;
      spentUsd += untakenUsd ?? 0;
      dearestUsd = Math.max(dearestUsd, untakenUsd ?? 0);
      untakenUsd = null;
      if (capUsd === undefined) unknown = undefined;
      return costUsd;
    },
  };
}

function judgeIn({ scorer }: Suite): JudgeModel | undefined {
  if (typeof scorer === 'string') return undefined;
  if ('judge' in scorer) return scorer.judge;
  return 'pairwise' in scorer ? scorer.pairwise : undefined;
}

/** A name that no provider of the settings has. */
const PLACE_OF_THE_SUITE = ' ';

/** By the gateway's prices; a served model without one costs what the model that was asked for does. */
function costOfAnswers(judge: JudgeModel, { config, clock }: SpendingContext) {
  const { base_url } = judge;
  const providers =
    base_url === undefined ? config.providers : { ...config.providers, [PLACE_OF_THE_SUITE]: { base_url } };
  const prices = new Prices(providers, config.prices);
  return ({ api, model, inputTokens, outputTokens }: Paid): number | undefined => {
    const provider = base_url === undefined ? api : PLACE_OF_THE_SUITE;
    const cost = (of: string) => prices.costUsd(provider, of, { inputTokens, outputTokens }, clock.now());
    return cost(model) ?? cost(judge.model);
  };
}

const unknownCost = ({ suite, cost_usd_per_day }: Suite, model: string) =>
  new LoopscopeError(
    'cost_unknown',
    `Suite ${suite} may spend ${cost_usd_per_day} USD a day (cost_usd_per_day), and nobody knows what ${model} costs. Put its price in \`prices\` of loopscope.yaml, or take the cap away.`,
  );
