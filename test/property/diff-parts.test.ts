import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { align, EDITS_MAX } from '../../src/replay/diff/align.ts';
import { areAlike, diffRecordings } from '../../src/replay/diff/diff.ts';
import { type JsonChange, side } from '../../src/replay/diff/difference.ts';
import { diffJson } from '../../src/replay/diff/json.ts';
import { createVolatility } from '../../src/replay/diff/volatile.ts';
import { diffText } from '../../src/replay/diff/words.ts';
import type { Recording, Step } from '../../src/replay/recording.ts';
import { call, recording, statement, text, tool } from '../support/recordings.ts';

const PERIOD = { startedAt: Date.UTC(2026, 4, 15), durationMs: 1000 };
const volatility = () => createVolatility(PERIOD, PERIOD);

test('what is aligned is equal and rises on both sides, and is as long as can be', () => {
  const keys = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 30 });
  fc.assert(
    fc.property(keys, keys, (a, b) => {
      const pairs = align(a, b);
      assertRising(pairs, a, b);
      assert.equal(pairs.length, longestCommon(a, b));
    }),
    { numRuns: 500 },
  );
});

test('beyond what is looked for exactly, pairs still rise, and what is once on each side is found', () => {
  const random = (seed: number, n: number) => (Math.imul(seed + n, 2654435761) >>> 8) % 50;
  for (const seed of [1, 2, 3]) {
    const anchors = Array.from({ length: 20 }, (_, i) => 1000 + i);
    const noise = (from: number) => Array.from({ length: EDITS_MAX }, (_, n) => random(seed, from + n));
    const a = anchors.flatMap((anchor, i) => [...noise(i * 7), anchor]);
    const held = (order: readonly number[]) => {
      const b = order.flatMap((anchor, i) => [...noise(99_999 + i * 13), anchor]);
      const pairs = align(a, b);
      assertRising(pairs, a, b);
      return new Set(pairs.map(([i]) => a[i]));
    };
    const inOrder = held(anchors);
    assert.ok(anchors.every((anchor) => inOrder.has(anchor)));
    // Of anchors that changed places with their neighbours one of each two can stay.
    const swapped = anchors.map((_, i) => anchors[i ^ 1]!);
    const found = held(swapped);
    assert.equal(anchors.filter((anchor) => found.has(anchor)).length, anchors.length / 2);
  }
});

test('texts can be had back from their pieces, and equal texts have nothing but what they share', () => {
  const word = fc.constantFrom(
    'ein',
    'Wort',
    ' ',
    '  ',
    '\n',
    ',',
    '😀',
    '\u202e',
    '2026-05-15T10:00:00Z',
    '\ud800',
    'a1',
  );
  const words = fc.array(word, { maxLength: 60 }).map((list) => list.join(''));
  const large = fc
    .tuple(words, fc.integer({ min: 1, max: 1500 }))
    .map(([part, n]) => part.repeat(n).slice(0, 90_000));
  const check = (a: string, b: string) => {
    const pieces = diffText(a, b, volatility());
    assert.equal(side(pieces, 'a'), a);
    assert.equal(side(pieces, 'b'), b);
    assert.equal(
      pieces.every(([op]) => op === '='),
      a === b,
    );
    assert.ok(pieces.every((piece, i) => piece[0] === '~' || piece[0] !== pieces[i - 1]?.[0]));
  };
  fc.assert(fc.property(words, words, check), { numRuns: 500 });
  fc.assert(fc.property(large, large, check), { numRuns: 30 });
});

test('a JSON document with the changes made is the other document', () => {
  const json = fc.jsonValue({ maxDepth: 4 });
  const near = json.chain((a) => fc.tuple(fc.constant(a), fc.oneof(json, mutated(a))));
  fc.assert(
    fc.property(near, ([a, b]) => {
      const { entries, more } = diffJson(a, b, volatility());
      assert.equal(more, 0);
      assert.ok(isDeepStrictEqual(plain(applied(a, entries)), plain(b)), JSON.stringify(entries));
      if (isDeepStrictEqual(plain(a), plain(b))) assert.deepEqual(entries, []);
    }),
    { numRuns: 1000 },
  );
});

test('a run is like itself whatever it is, and pairs of steps rise for each agent', () => {
  const word = fc.string({ maxLength: 8 });
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc
      .tuple(
        fc.constantFrom('maker', 'scout'),
        fc.array(word, { maxLength: 4 }),
        fc.option(word),
        fc.option(word),
      )
      .map(([agent, input, output, error]) =>
        call({
          agent,
          error,
          parentAgent: agent === 'scout' ? 'maker' : '',
          input: input.map((content) => text('user', content)),
          output: output === null ? null : [text('assistant', output)],
        }),
      ),
    fc
      .tuple(fc.constantFrom('a', 'b'), fc.option(word), fc.option(word))
      .map(([name, args, result]) => tool({ tool: name, arguments: args, result })),
    fc.option(fc.boolean()).map((pass) => statement({ pass })),
  );
  const run = fc.array(step, { maxLength: 25 }).map((steps) => recording(steps));
  fc.assert(
    fc.property(run, run, (a, b) => {
      assert.ok(areAlike(diffRecordings(a, structuredClone(a))));
      const diff = diffRecordings(a, b);
      assertEachOnce(
        diff.steps.map(({ aIndex }) => aIndex),
        a,
      );
      assertEachOnce(
        diff.steps.map(({ bIndex }) => bIndex),
        b,
      );
      for (const path of new Set(diff.steps.map((each) => each.path.join()))) {
        const ours = diff.steps.filter(
          (each) => each.path.join() === path && each.aIndex !== null && each.bIndex !== null,
        );
        assert.ok(ours.every((each, i) => i === 0 || each.bIndex! > ours[i - 1]!.bIndex!));
      }
      assert.deepEqual(areAlike(diff), areAlike(diffRecordings(b, a)));
    }),
    { numRuns: 300 },
  );
});

function assertRising(
  pairs: readonly (readonly [number, number])[],
  a: readonly number[],
  b: readonly number[],
): void {
  pairs.forEach(([i, j], n) => {
    assert.equal(a[i], b[j]);
    const before = pairs[n - 1];
    assert.ok(before === undefined || (before[0] < i && before[1] < j));
  });
}

function assertEachOnce(places: readonly (number | null)[], { steps }: Recording): void {
  assert.deepEqual(
    places.filter((place) => place !== null).sort((x, y) => x - y),
    steps.map((_, i) => i),
  );
}

/** The textbook table, to hold the fast way against. */
function longestCommon(a: readonly number[], b: readonly number[]): number {
  let row = new Array<number>(b.length + 1).fill(0);
  for (const x of a) {
    const next = [0];
    b.forEach((y, j) => {
      next.push(x === y ? row[j]! + 1 : Math.max(row[j + 1]!, next[j]!));
    });
    row = next;
  }
  return row.at(-1)!;
}

/** A document with something in it that is another. */
const mutated = (value: unknown): fc.Arbitrary<unknown> =>
  fc
    .tuple(fc.nat(), fc.jsonValue({ maxDepth: 1 }), fc.constantFrom('set', 'add', 'drop'))
    .map(([at, other, how]) => {
      const copy = structuredClone(value);
      if (Array.isArray(copy)) {
        if (how === 'add') copy.splice(at % (copy.length + 1), 0, other);
        else if (how === 'drop') copy.splice(at % (copy.length + 1), 1);
        else if (copy.length > 0) copy[at % copy.length] = other;
        return copy;
      }
      if (typeof copy !== 'object' || copy === null) return other;
      const entries = Object.entries(copy);
      if (how === 'add') entries.push([`k${at}`, other]);
      else if (how === 'drop') entries.splice(at % (entries.length + 1), 1);
      else if (entries.length > 0) entries[at % entries.length]![1] = other;
      return Object.fromEntries(entries);
    });

/** Makes the changes, the way their paths are meant: places are a's, but for what was added. */
function applied(value: unknown, entries: readonly JsonChange[]): unknown {
  const here = entries.find(({ path }) => path.length === 0);
  if (here) return here.b;
  const below = Map.groupBy(entries, ({ path, op }) =>
    op === 'added' && path.length === 1 ? undefined : path[0],
  );
  const added = entries.filter(({ path, op }) => op === 'added' && path.length === 1);
  const inside = (key: string | number, item: unknown): unknown[] => {
    const changes = (below.get(key) ?? []).map((entry) => ({ ...entry, path: entry.path.slice(1) }));
    return changes.some(({ path, op }) => path.length === 0 && op === 'removed')
      ? []
      : [applied(item, changes)];
  };
  if (Array.isArray(value)) {
    const items = value.flatMap((item, i) => inside(i, item));
    for (const { path, b } of added) items.splice(path[0] as number, 0, b);
    return items;
  }
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).flatMap(([key, item]) =>
    inside(key, item).map((inner) => [key, inner] as const),
  );
  return Object.fromEntries([...kept, ...added.map(({ path, b }) => [path[0], b] as const)]);
}

/** Without -0 and prototypes, which JSON has not. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value)) as unknown;
