/**
 * What is counted, as whole numbers so that sums are exact: cost in nano-dollars, tokens, calls, steps. Sums stay
 * exact up to 2^53: nine million dollars a counter, in JavaScript and in Redis' Lua alike.
 */
export const MEASURES = ['cost', 'tokens', 'calls', 'steps'] as const;
export type Measure = (typeof MEASURES)[number];

/** One number for each of `MEASURES`. */
export type Amounts = readonly [cost: number, tokens: number, calls: number, steps: number];

export const COST = 0;
export const TOKENS = 1;
export const NOTHING: Amounts = [0, 0, 0, 0];

const NANO = 1_000_000_000;

/** No call takes more: what a caller asks for, or a provider reports, beyond it is nonsense and would spoil sums. */
const TOKENS_PER_CALL_MAX = 1_000_000_000;
const COST_USD_PER_CALL_MAX = 10_000;

/** Nano-dollars, to the nearest. */
export const nanoDollars = (usd: number): number => Math.round(usd * NANO);

/** The cost of one call in nano-dollars. */
export const callCost = (usd: number): number => nanoDollars(Math.min(usd, COST_USD_PER_CALL_MAX));

/** The tokens of one call, as a whole number. */
export const callTokens = (input: number, output: number): number =>
  Math.ceil(Math.min(input + output, TOKENS_PER_CALL_MAX));

/** Whether a number can be counted: it is there, it is one, and it is not negative. */
export const isCount = (value: number | undefined): value is number => value !== undefined && value >= 0;

/** As a message shows it: `$1.25`, `300`. */
export const shown = (measure: number, amount: number): string =>
  measure === COST ? `$${Number((amount / NANO).toFixed(6))}` : String(amount);
