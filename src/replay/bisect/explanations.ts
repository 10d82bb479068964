import type { Changes } from './change.ts';
import { Contrast } from './contrast.ts';
import type { Explanation } from './search.ts';
import type { Measure, Variant } from './trial.ts';

/**
 * What may lie behind a fall, given the changes between the points, and what has to be shown before it is said.
 *
 * - One change: the good point with this change alone scores lower than the bad point with it alone taken back. The rest
 *   together does less than it does, whether by themselves or with each other. Tested for each of k changes at error/k,
 *   so that the chance to name a change of which this is not true is at most `error`.
 * - Two together: the same of the pair, at error over the number of pairs; and of each of the two that it does not explain
 *   the fall by itself: with it alone the loop scores higher than at the bad point, or with it alone taken back lower
 *   than at the good one. Those are two tests at error/2: that "not one change alone" is said where one change explains
 *   all has a chance of at most `error`.
 * - More together: no change explains the fall by itself.
 *
 * How two act together is told by the posterior alone: it takes `both`, `either` is enough, or they `add` up.
 */
export interface Cause extends Explanation {
  kind: 'one' | 'together' | 'more';
  /** The changes that it names, as a mask. */
  mask: number;
  how?: 'both' | 'either' | 'add';
}

/** Shares of the prior: that one change explains it, two in one of three ways, or more. */
const ONE = 0.85;
const TWO = 0.12;
const MORE = 0.03;
/** No change is thought so unlikely that the others cannot be doubted. */
const WEIGHT_MIN = 0.05;

export function causesOf(changes: Changes, { measure, error }: { measure: Measure; error: number }): Cause[] {
  const k = changes.list.length;
  const all = 2 ** k - 1;
  const singles = changes.list.map((_, i) => 1 << i);
  const pairs = singles.flatMap((a, i) => singles.slice(i + 1).map((b) => a | b));
  const weights = changes.list.map(({ weight = 1 }) => weight);
  const sum = weights.reduce((a, b) => a + b, 0) || 1;
  const shares = weights.map((weight) => Math.max(WEIGHT_MIN, weight / sum));
  const total = shares.reduce((a, b) => a + b, 0);

  const outweighs = (mask: number, level: number) =>
    new Contrast(changes.without(mask), changes.only(mask), { measure, error: level });
  const notAlone = new Map(
    singles.map((mask) => [
      mask,
      [
        new Contrast(changes.only(mask), changes.bad, { measure, error: error / 2 }),
        new Contrast(changes.good, changes.without(mask), { measure, error: error / 2 }),
      ],
    ]),
  );
  const classes = (nameOf: (mask: number) => string) => (variant: Variant) => nameOf(changes.maskOf(variant));

  const ones = singles.map(
    (mask, i): Cause => ({
      kind: 'one',
      mask,
      prior: (ONE * shares[i]!) / total,
      classOf: classes((made) => (made & mask ? 'bad' : 'good')),
      claims: [[outweighs(mask, error / k)]],
    }),
  );
  const twos = pairs.flatMap((mask): Cause[] => {
    const claims = [
      [outweighs(mask, error / pairs.length)],
      ...singles.filter((single) => single & mask).map((single) => notAlone.get(single)!),
    ];
    const prior = TWO / pairs.length / 3;
    const of = (how: Cause['how'], partly: string): Cause => ({
      kind: 'together',
      mask,
      how,
      prior,
      classOf: classes((made) =>
        (made & mask) === mask
          ? 'bad'
          : (made & mask) === 0
            ? 'good'
            : partly === ''
              ? `${made & mask}`
              : partly,
      ),
      claims,
    });
    return [of('both', 'good'), of('either', 'bad'), of('add', '')];
  });
  // Two changes are a pair; with more there may be more behind it.
  const more: Cause[] =
    k < 3
      ? []
      : [{ kind: 'more', mask: all, prior: MORE, classOf: classes(String), claims: [...notAlone.values()] }];
  return [...ones, ...twos, ...more];
}
