import { type Interval, normalQuantile } from './binomial-interval.ts';

/**
 * An interval for any figure, by drawing whole clusters anew.
 *
 * Runs of one loop are alike: resampling them one by one would take likeness for information. So clusters (loops;
 * or runs, where a loop stands alone) are drawn with replacement, as many as there are, and the figure is taken of
 * all that is in them (Davison & Hinkley, Bootstrap Methods and their Application, 1997, §3.8). The interval is
 * BCa, bias-corrected and accelerated (Efron, JASA 82, 1987): percentiles of the replicates at levels moved by
 *   z0 = Φ⁻¹(share of replicates below the figure), ties counted half, and
 *   a = Σd³ / (6·(Σd²)^{3/2}), d the jackknife deviations, a cluster left out at a time,
 * second-order right, and never outside the range of the figure. It is asymptotic in the number of CLUSTERS: with
 * fewer than `CLUSTERS_MIN` there is no interval. A figure that no replicate moves has none either: a bootstrap
 * cannot see what it never drew. Replicates without a figure are left out and counted. As a falls with the root of the
 * number of clusters, and its cost grows with the square, it counts as 0 above `JACKKNIFE_MAX`.
 */
export interface BootstrapSettings {
  /** Uniform in [0, 1), seeded by whoever wants to have the same interval again. */
  random: () => number;
  confidence?: number;
  replicates?: number;
}

export interface BootstrapInterval extends Interval {
  /** Replicates that had a figure, and those that had none. */
  replicates: number;
  undefinedReplicates: number;
}

export const CLUSTERS_MIN = 10;
const JACKKNIFE_MAX = 1000;
const REPLICATES = 1000;
/** Below it the rest of the replicates is no fair picture. */
const DEFINED_SHARE_MIN = 0.9;

/** The interval of `figure`, which is a function of the clusters it is given; `undefined` where too little is known. */
export function bootstrapInterval<C>(
  clusters: readonly C[],
  figure: (clusters: readonly C[]) => number | undefined,
  { random, confidence = 0.95, replicates = REPLICATES }: BootstrapSettings,
): BootstrapInterval | undefined {
  const all = figure(clusters);
  if (clusters.length < CLUSTERS_MIN || all === undefined) return undefined;
  const values: number[] = [];
  for (let i = 0; i < replicates; i++) {
    const value = figure(clusters.map(() => clusters[Math.floor(random() * clusters.length)]!));
    if (value !== undefined) values.push(value);
  }
  values.sort((x, y) => x - y);
  if (values.length < DEFINED_SHARE_MIN * replicates || values[0] === values.at(-1)) return undefined;
  let below = 0;
  for (const value of values) below += value < all ? 1 : value === all ? 0.5 : 0;
  const z0 = normalQuantile((below + 0.5) / (values.length + 1));
  const a = clusters.length <= JACKKNIFE_MAX ? acceleration(clusters, figure) : 0;
  const at = (z: number) => {
    const level = normalCdf(z0 + (z0 + z) / (1 - a * (z0 + z)));
    const rank = Math.round(level * (values.length + 1)) - 1;
    return values[Math.min(values.length - 1, Math.max(0, rank))]!;
  };
  const z = normalQuantile(0.5 + confidence / 2);
  return {
    low: at(-z),
    high: at(z),
    replicates: values.length,
    undefinedReplicates: replicates - values.length,
  };
}

function acceleration<C>(
  clusters: readonly C[],
  figure: (clusters: readonly C[]) => number | undefined,
): number {
  const without = clusters.flatMap((_, i) => figure(clusters.toSpliced(i, 1)) ?? []);
  const mean = without.reduce((x, y) => x + y, 0) / without.length;
  let squares = 0;
  let cubes = 0;
  for (const value of without) {
    squares += (mean - value) ** 2;
    cubes += (mean - value) ** 3;
  }
  return squares > 0 ? cubes / (6 * squares ** 1.5) : 0;
}

/**
 * The standard normal distribution function, by the rational approximation of Abramowitz & Stegun 26.2.17 (error
 * below 7.5e-8): finer than any number of replicates can tell.
 */
export function normalCdf(x: number): number {
  if (x < 0) return 1 - normalCdf(-x);
  const t = 1 / (1 + 0.2316419 * x);
  const tail =
    t *
    (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429)))) *
    (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI));
  return 1 - tail;
}
