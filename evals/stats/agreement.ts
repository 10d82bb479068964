/**
 * Do raters agree, beyond what chance would give?
 *
 * Three coefficients, as no single one can be trusted alone. With p_o the observed agreement, κ and AC1 are
 * (p_o − p_e)/(1 − p_e) and differ in what they call chance p_e; α is 1 − D_o/D_e, observed over expected
 * disagreement. All are 1 for perfect agreement and 0 for chance.
 *   κ    two raters, each with its own marginals. J. Cohen, Educ. Psychol. Meas. 20 (1960).
 *   AC1  any number of raters. K. L. Gwet, Br. J. Math. Stat. Psychol. 61 (2008); with missing ratings as in
 *        Handbook of Inter-Rater Reliability, 4th ed. (2014), ch. 2.
 *   α    any number of raters. K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011).
 * Where nearly all ratings are the same, κ and α fall to 0 however good the agreement is, as chance then explains
 * everything: of 125 cases with 118 × pass/pass, 5 + 2 apart and none fail/fail, κ is −.02 and AC1 .94. Neither is
 * wrong; they answer different questions, so show both.
 *
 * A unit is a thing that was rated: a list with one place a rater, `null` where that rater said nothing. What
 * cannot be said is `undefined`, never 0: no unit with two ratings, or no chance disagreement to compare with.
 */
export type Category = string | number | boolean;
export type Unit<T extends Category = Category> = readonly (T | null)[];

/** Cohen's κ of the first two raters, over the units that both rated. */
export function cohenKappa(units: readonly Unit[]): number | undefined {
  const first = new Map<Category, number>();
  const second = new Map<Category, number>();
  let pairs = 0;
  let agreed = 0;
  for (const [a = null, b = null] of units) {
    if (a === null || b === null) continue;
    pairs++;
    if (a === b) agreed++;
    count(first, a);
    count(second, b);
  }
  if (pairs === 0) return undefined;
  let byChance = 0;
  for (const [category, n] of first) byChance += (n * (second.get(category) ?? 0)) / pairs ** 2;
  return beyondChance(agreed / pairs, byChance);
}

/**
 * Gwet's AC1. `categories` is the number of categories a rater could have used, also those that nobody did:
 * 2 for pass and fail.
 */
export function gwetAc1(units: readonly Unit[], categories: number): number | undefined {
  const shares = new Map<Category, number>();
  let rated = 0;
  let compared = 0;
  let agreement = 0;
  for (const unit of units) {
    const { counts, n } = tally(unit);
    if (n === 0) continue;
    rated++;
    let samePairs = 0;
    for (const [category, c] of counts) {
      shares.set(category, (shares.get(category) ?? 0) + c / n);
      samePairs += c * (c - 1);
    }
    if (n < 2) continue;
    compared++;
    agreement += samePairs / (n * (n - 1));
  }
  if (!(Number.isInteger(categories) && categories >= Math.max(2, shares.size)))
    throw new RangeError(`expected at least ${Math.max(2, shares.size)} categories, got ${categories}`);
  if (compared === 0) return undefined;
  let byChance = 0;
  for (const sum of shares.values()) byChance += ((sum / rated) * (1 - sum / rated)) / (categories - 1);
  return beyondChance(agreement / compared, byChance);
}

/** Krippendorff's α for categories. */
export function krippendorffNominal(units: readonly Unit[]): number | undefined {
  return alpha(units, (values) => {
    const { counts, n } = tally(values);
    let same = 0;
    for (const c of counts.values()) same += c * c;
    return n * n - same;
  });
}

/** Krippendorff's α for numbers, whose disagreement is their squared difference. */
export function krippendorffInterval(units: readonly Unit<number>[]): number | undefined {
  return alpha(units, (values) => {
    let sum = 0;
    for (const v of values) sum += v;
    let squares = 0;
    for (const v of values) squares += (v - sum / values.length) ** 2;
    return 2 * values.length * squares;
  });
}

/** `disagreement` sums the difference over all ordered pairs of the values it is given. */
function alpha<T extends Category>(
  units: readonly Unit<T>[],
  disagreement: (values: readonly T[]) => number,
): number | undefined {
  const pooled: T[] = [];
  let observed = 0;
  for (const unit of units) {
    const values = unit.filter((v) => v !== null);
    // A value without a second one to hold it against says nothing of agreement.
    if (values.length < 2) continue;
    for (const v of values) pooled.push(v);
    observed += disagreement(values) / (values.length - 1);
  }
  if (pooled.length === 0) return undefined;
  const expected = disagreement(pooled) / (pooled.length - 1);
  return expected > 0 ? 1 - observed / expected : undefined;
}

const beyondChance = (observed: number, byChance: number): number | undefined =>
  byChance < 1 ? (observed - byChance) / (1 - byChance) : undefined;

function tally(unit: Unit): { counts: Map<Category, number>; n: number } {
  const counts = new Map<Category, number>();
  let n = 0;
  for (const v of unit) {
    if (v === null) continue;
    count(counts, v);
    n++;
  }
  return { counts, n };
}

const count = (counts: Map<Category, number>, category: Category): void => {
  counts.set(category, (counts.get(category) ?? 0) + 1);
};
