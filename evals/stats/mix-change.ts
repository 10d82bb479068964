/**
 * Where the mix of the groups in a series shifted towards those with lower means, and whether that explains why
 * the series fell: the change parted into what the groups' own means did and what their shares did.
 *
 * With shares q, q′ and means m, m′ before and after:
 *   Σ q′m′ − Σ qm = Σ (m′ − m)(q + q′)/2  [within]  +  Σ (q′ − q)(m + m′)/2  [mix]
 * (Kitagawa 1955; the symmetric form of Oaxaca–Blinder). A group that is absent on one side has no mean there; it is
 * taken to be the one on the other side, so that it counts as mix alone.
 *
 * The cut is where the series that says of each value only its group's mean falls most, by the standardised CUSUM
 * max_k (mean of the first k − mean of the rest)·sqrt(k(n−k)/n). So it is chosen by the groups, and the test of the
 * levels within them is a test at a cut that was not chosen by the values it looks at.
 *
 * Both tests are permutation tests. Of the mix: the order of the groups is dealt anew, and the same maximum over all
 * cuts is taken, so that having chosen the cut is part of the test. Of the levels: values are dealt anew within each
 * group. A p-value is (1 + permutations at least as far) / (1 + all), valid at any number of permutations
 * (Phipson & Smyth 2010).
 */

export interface Grouped {
  group: string;
  value: number;
}

export interface MixChange {
  /** Values before the shift. */
  cut: number;
  within: number;
  mix: number;
  /** One-sided, for a shift to groups of lower means; two-sided, for any change of the levels. */
  mixP: number;
  withinP: number;
}

/** `undefined` where there is one group only, or no cut with a lower mix after it. */
export function mixChange(
  series: readonly Grouped[],
  { permutations, random }: { permutations: number; random: () => number },
): MixChange | undefined {
  const names = [...new Set(series.map((v) => v.group))];
  if (names.length < 2) return undefined;
  const indexOf = new Map(names.map((name, i) => [name, i]));
  const groups = series.map((v) => indexOf.get(v.group)!);
  const values = series.map((v) => v.value);
  const members = names.map((_, g) => [...groups.keys()].filter((i) => groups[i] === g));
  const means = members.map((places) => places.reduce((sum, i) => sum + values[i]!, 0) / places.length);

  const levels = groups.map((g) => means[g]!);
  const { cut, height } = steepest(levels);
  if (cut === 0) return undefined;
  let mixFar = 0;
  for (let i = 0; i < permutations; i++) {
    deal(levels, ALL, random);
    if (steepest(levels).height >= height - ROUNDING) mixFar++;
  }
  const parts = decompose(groups, values, cut, names.length);
  let withinFar = 0;
  for (let i = 0; i < permutations; i++) {
    for (const places of members) deal(values, places, random);
    const { within } = decompose(groups, values, cut, names.length);
    if (Math.abs(within) >= Math.abs(parts.within) - ROUNDING) withinFar++;
  }
  return {
    cut,
    ...parts,
    mixP: (1 + mixFar) / (1 + permutations),
    withinP: (1 + withinFar) / (1 + permutations),
  };
}

/** Sums of the same numbers in another order differ by so much. */
const ROUNDING = 1e-9;

/** The cut of the steepest fall, and its standardised height; cut 0 where nothing falls. */
function steepest(values: readonly number[]): { cut: number; height: number } {
  const n = values.length;
  let total = 0;
  for (let i = 0; i < n; i++) total += values[i]!;
  let sum = 0;
  let cut = 0;
  let height = 0;
  for (let k = 1; k < n; k++) {
    sum += values[k - 1]!;
    const above = (sum - (k * total) / n) / Math.sqrt((k * (n - k)) / n);
    if (above > height) {
      height = above;
      cut = k;
    }
  }
  return { cut, height };
}

function decompose(groups: readonly number[], values: readonly number[], cut: number, count: number) {
  const n0 = new Array<number>(count).fill(0);
  const n1 = new Array<number>(count).fill(0);
  const sum0 = new Array<number>(count).fill(0);
  const sum1 = new Array<number>(count).fill(0);
  for (let i = 0; i < values.length; i++) {
    const g = groups[i]!;
    (i < cut ? n0 : n1)[g]!++;
    (i < cut ? sum0 : sum1)[g]! += values[i]!;
  }
  let within = 0;
  let mix = 0;
  for (let g = 0; g < count; g++) {
    const share0 = n0[g]! / cut;
    const share1 = n1[g]! / (values.length - cut);
    const mean0 = n0[g] ? sum0[g]! / n0[g]! : sum1[g]! / n1[g]!;
    const mean1 = n1[g] ? sum1[g]! / n1[g]! : mean0;
    within += ((mean1 - mean0) * (share0 + share1)) / 2;
    mix += ((share1 - share0) * (mean0 + mean1)) / 2;
  }
  return { within, mix };
}

const ALL = null;

/** Shuffles the values at `places` (Fisher–Yates). */
function deal(values: number[], places: readonly number[] | typeof ALL, random: () => number): void {
  const n = places ? places.length : values.length;
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const a = places ? places[i]! : i;
    const b = places ? places[j]! : j;
    const value = values[a]!;
    values[a] = values[b]!;
    values[b] = value;
  }
}
