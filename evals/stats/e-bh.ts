/**
 * e-BH: which of many hypotheses to reject, so that few of those rejected are true.
 *
 * For e-values e_1 … e_K (E[e] ≤ 1 where the hypothesis is true) reject the k* largest, k* the largest k with
 * e_(k) ≥ K/(k·share). Whatever is rejected then has e ≥ K/(k*·share), so the share of false rejections is
 *   Σ_true 1{rejected}/k* ≤ Σ_true e·share/K, with mean at most share · (true hypotheses)/K,
 * under any dependence of the e-values. Wang & Ramdas, "False discovery rate control with e-values" (JRSS-B 84, 2022).
 *
 * For detectors, where evidence M has E[M_τ] ≤ E[τ] in place of E[e] ≤ 1, the same line gives a share of at most
 * share · E[τ] for M, and share · E[τ]/A for M/A, at any stopping time τ: no detector that alarms at all can do
 * better than in proportion to the time it is given ("error over patience"). Dandapanthula & Ramdas, "Multiple
 * testing in multi-stream sequential change detection" (2025), e-d-BH.
 */

/**
 * The places of the e-values that stand out, largest first; ties in their order. `share` is the share of false
 * ones that is borne, in (0, 1].
 */
export function eBenjaminiHochberg(eValues: readonly number[], share: number): number[] {
  if (!(share > 0 && share <= 1)) throw new RangeError(`expected a share in (0, 1], got ${share}`);
  const places = [...eValues.keys()].sort((a, b) => eValues[b]! - eValues[a]! || a - b);
  const K = places.length;
  let rejected = K;
  while (rejected > 0 && eValues[places[rejected - 1]!]! < K / (rejected * share)) rejected--;
  return places.slice(0, rejected);
}
