/** The few statistics that benchmarks are told in. None of them makes a number of nothing: that is `null`. */

/** The value in the middle; between the two middle ones for an even count. `null` without values. */
export function median(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The smallest value that a share `q` of the values does not exceed (nearest rank). `null` without values. */
export function quantile(values: ArrayLike<number>, q: number): number | null {
  if (!(q > 0 && q <= 1)) throw new RangeError(`expected a share in (0, 1], got ${q}`);
  if (values.length === 0) return null;
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.ceil(q * sorted.length) - 1]!;
}

/** The arithmetic mean. `null` without values. */
export function mean(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** `ours / reference`; `null` where one is missing or the reference is not above 0, so that no ratio has a meaning. */
export function ratio(ours: number | null, reference: number | null): number | null {
  return ours === null || reference === null || !(reference > 0) ? null : ours / reference;
}

/** The median of the ratios round by round: what disturbed a round disturbed both sides of its ratio. */
export function medianRatio(
  ours: readonly (number | null)[],
  references: readonly (number | null)[],
): number | null {
  return median(ours.flatMap((value, i) => ratio(value, references[i] ?? null) ?? []));
}
