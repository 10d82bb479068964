/**
 * Aligns two sequences of keys: which place of `a` is which place of `b`. Pairs are of equal keys and rise on both
 * sides, and the work is bounded whatever is given.
 *
 * What both begin and end with is paired at once. Between, the shortest edit script (Myers, "An O(ND) difference
 * algorithm and its variations", 1986) as long as it has at most EDITS_MAX edits. Where two sequences differ in more than
 * that, keys that are there once on each side are anchors (patience), and what is between anchors is aligned in turn, at
 * most DEPTH_MAX times over; without an anchor nothing there is paired.
 */
export type Pair = readonly [a: number, b: number];

export const EDITS_MAX = 256;
const DEPTH_MAX = 8;

export function align(a: ArrayLike<number>, b: ArrayLike<number>): Pair[] {
  const pairs: Pair[] = [];
  // A stack of regions instead of recursion: regions are taken from left to right, so that pairs come in order.
  const regions: Region[] = [{ aFrom: 0, aTo: a.length, bFrom: 0, bTo: b.length, tail: [], depth: 0 }];
  for (let region = regions.pop(); region; region = regions.pop()) {
    const { tail, depth } = region;
    let { aFrom, aTo, bFrom, bTo } = region;
    while (aFrom < aTo && bFrom < bTo && a[aFrom] === b[bFrom]) pairs.push([aFrom++, bFrom++]);
    let ending = 0;
    while (aFrom < aTo && bFrom < bTo && a[aTo - 1] === b[bTo - 1]) {
      aTo--;
      bTo--;
      ending++;
    }
    const closing: Pair[] = Array.from({ length: ending }, (_, i) => [aTo + i, bTo + i] as const);
    for (const pair of tail) closing.push(pair);
    const range = { aFrom, aTo, bFrom, bTo };
    const nothingLeft = aFrom === aTo || bFrom === bTo;
    const found = nothingLeft ? [] : shortestEdit(a, b, range);
    const anchors = found || depth === DEPTH_MAX ? [] : uniqueInBoth(a, b, range);
    if (anchors.length > 0) {
      for (const cut of between(anchors, range, closing, depth + 1).reverse()) regions.push(cut);
      continue;
    }
    for (const pair of found ?? []) pairs.push(pair);
    for (const pair of closing) pairs.push(pair);
  }
  return pairs;
}

/** The regions between anchors, from left to right. */
function between(
  anchors: readonly Pair[],
  { aFrom, aTo, bFrom, bTo }: Range,
  closing: readonly Pair[],
  depth: number,
): Region[] {
  const regions: Region[] = [];
  let left = { a: aFrom, b: bFrom };
  for (const anchor of anchors) {
    regions.push({ aFrom: left.a, aTo: anchor[0], bFrom: left.b, bTo: anchor[1], tail: [anchor], depth });
    left = { a: anchor[0] + 1, b: anchor[1] + 1 };
  }
  regions.push({ aFrom: left.a, aTo, bFrom: left.b, bTo, tail: closing, depth });
  return regions;
}

interface Range {
  aFrom: number;
  aTo: number;
  bFrom: number;
  bTo: number;
}

/** A part still to be aligned, and the pairs that come right after it. */
interface Region extends Range {
  tail: readonly Pair[];
  depth: number;
}

/** The pairs of a shortest edit script, or nothing where that has more than EDITS_MAX edits. */
function shortestEdit(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  { aFrom, aTo, bFrom, bTo }: Range,
): Pair[] | undefined {
  const n = aTo - aFrom;
  const m = bTo - bFrom;
  const most = Math.min(EDITS_MAX, n + m);
  const origin = most + 1;
  // furthest[k]: how far into a the furthest path on diagonal k (place in a less place in b) has come.
  const furthest = new Int32Array(2 * most + 3);
  const history: Int32Array[] = [];
  for (let edits = 0; edits <= most; edits++) {
    for (let k = -edits; k <= edits; k += 2) {
      const down = k === -edits || (k !== edits && furthest[origin + k - 1]! < furthest[origin + k + 1]!);
      let x = down ? furthest[origin + k + 1]! : furthest[origin + k - 1]! + 1;
      while (x < n && x - k < m && x - k >= 0 && a[aFrom + x] === b[bFrom + x - k]) x++;
      furthest[origin + k] = x;
      if (x >= n && x - k >= m) return walkBack(history, edits, { n, m, aFrom, bFrom });
    }
    history.push(furthest.slice(origin - edits, origin + edits + 1));
  }
  return undefined;
}

/** Follows the furthest paths from the end to the beginning. `history[d]` has the diagonals -d to d. */
function walkBack(
  history: readonly Int32Array[],
  edits: number,
  { n, m, aFrom, bFrom }: { n: number; m: number; aFrom: number; bFrom: number },
): Pair[] {
  const pairs: Pair[] = [];
  let x = n;
  let y = m;
  for (let d = edits; d >= 0; d--) {
    const before = d === 0 ? undefined : history[d - 1]!;
    const at = (k: number) => (Math.abs(k) > d - 1 ? -1 : before![k + d - 1]!);
    const k = x - y;
    const down = before !== undefined && (k === -d || (k !== d && at(k - 1) < at(k + 1)));
    const fromX = before === undefined ? 0 : down ? at(k + 1) : at(k - 1);
    const fromY = before === undefined ? 0 : fromX - (down ? k + 1 : k - 1);
    const startX = before === undefined ? 0 : down ? fromX : fromX + 1;
    while (x > startX) pairs.push([aFrom + --x, bFrom + --y]);
    x = fromX;
    y = fromY;
  }
  return pairs.reverse();
}

/** Pairs of keys that are once in each part, as many as rise on both sides. */
function uniqueInBoth(a: ArrayLike<number>, b: ArrayLike<number>, { aFrom, aTo, bFrom, bTo }: Range): Pair[] {
  const once = (keys: ArrayLike<number>, from: number, to: number) => {
    const places = new Map<number, number>();
    for (let i = from; i < to; i++) places.set(keys[i]!, places.has(keys[i]!) ? -1 : i);
    return places;
  };
  const inB = once(b, bFrom, bTo);
  const candidates: Pair[] = [];
  for (const [key, i] of once(a, aFrom, aTo)) {
    const j = inB.get(key) ?? -1;
    if (i >= 0 && j >= 0) candidates.push([i, j]);
  }
  return longestRising(candidates.sort(([i], [j]) => i - j));
}

/** The longest part of `pairs`, which rise in a, that rises in b too. */
function longestRising(pairs: readonly Pair[]): Pair[] {
  const ends: number[] = []; // ends[l]: the pair that ends the rising part of length l + 1 with the smallest b
  const previous = new Int32Array(pairs.length).fill(-1);
  pairs.forEach(([, b], i) => {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pairs[ends[middle]!]![1] < b) low = middle + 1;
      else high = middle;
    }
    if (low > 0) previous[i] = ends[low - 1]!;
    ends[low] = i;
  });
  const found: Pair[] = [];
  for (let i = ends.at(-1) ?? -1; i >= 0; i = previous[i]!) found.push(pairs[i]!);
  return found.reverse();
}
