import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { compare, refusals } from '../../evals/gate/compare.ts';
import { junit } from '../../evals/gate/junit.ts';
import { type ItemScore, scoreSet } from '../../evals/gate/score-set.ts';
import { hashOfScorer } from '../../evals/gate/scorer-hash.ts';
import { ScorerDefinition } from '../../evals/suite.ts';
import { parseXml, type XmlElement } from '../support/xml.ts';

type Given = Partial<ItemScore> & { item: string };
const set = (scores: readonly Given[]) =>
  scoreSet({
    suite: 's',
    loop: 'l',
    scorer: 'text',
    scorer_hash: 'h',
    made_at: '2026-11-27T00:00:00.000Z',
    scores: scores.map((row) => ({ run: 'r', score: 1, error: '', reason: '', expected_hash: 'e', ...row })),
  });
const items = (n: number, of: (i: number) => Partial<ItemScore> = () => ({})): Given[] =>
  Array.from({ length: n }, (_, i) => ({ item: `i-${i}`, ...of(i) }));

test('what fell is told item by item, the furthest first, and refused where chance does not explain it', () => {
  const comparison = compare(
    set(items(20)),
    set(items(20, (i) => ({ score: i < 8 ? 0 : i === 8 ? 0.5 : 1, reason: `why ${i}` }))),
    0.05,
  );
  assert.equal(comparison.verdict, 'regressed');
  assert.equal(comparison.p_value, 1 / 512);
  assert.deepEqual([comparison.mean_before, comparison.mean_now], [1, 11.5 / 20]);
  assert.equal(comparison.fell.length, 9);
  assert.deepEqual(comparison.fell[0], { item: 'i-0', before: 1, now: 0, reason: 'why 0' });
  assert.equal(comparison.fell.at(-1)!.item, 'i-8');
  assert.deepEqual(refusals(comparison), ['scores fell (p = 0.0020, at most 0.05 where nothing changed)']);
});

test('a fall that chance explains, a rise and no change are no regression', () => {
  const before = set(items(20, (i) => ({ score: i < 10 ? 1 : 0 })));
  const now = (score: (i: number) => number) => set(items(20, (i) => ({ score: score(i) })));
  for (const score of [
    (i: number) => (i < 10 ? 1 : 0),
    (i: number) => (i < 8 ? 1 : 0),
    (i: number) => (i < 18 ? 1 : 0),
  ]) {
    const comparison = compare(before, now(score), 0.05);
    assert.equal(comparison.verdict, 'no_regression');
    assert.deepEqual(refusals(comparison), []);
  }
});

test('silence is never green: nothing or too little to compare, items that failed, items not answered', () => {
  const refused = (before: Given[], now: Given[]) => refusals(compare(set(before), set(now), 0.05));
  assert.deepEqual(refused([], []), ['no item has a score in both']);
  assert.deepEqual(refused(items(20), []), [
    'no item has a score in both',
    '20 items of the baseline were not answered',
  ]);
  assert.match(refused(items(4), items(4))[0]!, /^4 items to compare, and with fewer than 5/);
  assert.deepEqual(
    refused(
      items(20),
      items(20, (i) => (i === 3 ? { score: null, error: 'judge_timeout: x' } : {})),
    ),
    ['1 items could not be scored'],
  );
  assert.deepEqual(refused(items(20), items(19)), ['1 items of the baseline were not answered']);
});

test('only pairs with the same expected answer count; new items and those that failed before are told', () => {
  const before = set([
    { item: 'same' },
    { item: 'redefined' },
    { item: 'failed-before', score: null, error: 'scorer_failed: x' },
    { item: 'unknown', expected_hash: '' },
  ]);
  const now = set([
    { item: 'same', score: 0 },
    { item: 'redefined', score: 0, expected_hash: 'other' },
    { item: 'failed-before' },
    { item: 'unknown' },
    { item: 'new' },
  ]);
  const { pairs, redefined, added, missing, failed } = compare(before, now, 0.05);
  assert.deepEqual(
    { pairs, redefined, added, missing, failed },
    { pairs: 2, redefined: 1, added: 2, missing: [], failed: [] },
  );
});

test('several runs of an item are one pair of means, and an error among them does not count as 0', () => {
  const row = (score: number | null, reason = '') => ({
    item: 'i',
    score,
    reason,
    error: score === null ? 'x: y' : '',
  });
  const comparison = compare(
    set([row(1), row(0.5)]),
    set([row(0.5, 'worst'), row(null), row(0.75, 'best')]),
    0.05,
  );
  assert.deepEqual(comparison.fell, [{ item: 'i', before: 0.75, now: 0.625, reason: 'worst' }]);
  assert.deepEqual(comparison.failed, [{ item: 'i', error: 'x: y' }], 'and is told');
});

const report = (before: Given[], now: Given[], isGate = true) => {
  const comparison = compare(set(before), set(now), 0.05);
  return parseXml(junit({ suite: 's', refusals: isGate ? refusals(comparison) : [], comparison }));
};
const cases = (root: XmlElement) => root.children[0]!.children;

test('the JUnit file is red exactly when the gate is closed', () => {
  const red = report(
    items(20),
    items(20, (i) => ({ score: i < 9 ? 0 : 1 })),
  );
  assert.deepEqual(
    { ...red.children[0]!.attributes },
    { name: 's', tests: '10', failures: '10', errors: '0' },
  );
  const green = report(
    items(20),
    items(20, (i) => ({ score: i < 2 ? 0 : 1, reason: 'it "fell"' })),
  );
  assert.equal(green.attributes['failures'], '0');
  assert.deepEqual(
    cases(green).map(({ attributes, children }) => [
      attributes['name'],
      children[0]?.name,
      children[0]?.text,
    ]),
    [
      ['gate', undefined, undefined],
      ['i-0', 'system-out', '1 before, 0 now: it "fell"'],
      ['i-1', 'system-out', '1 before, 0 now: it "fell"'],
    ],
  );
  const silent = report(
    items(20),
    items(19, (i) => (i === 0 ? { score: null, error: 'judge_timeout: x' } : {})),
  );
  assert.deepEqual([silent.attributes['failures'], silent.attributes['errors']], ['1', '2']);
});

test('whatever items, reasons and errors say, the JUnit file is well-formed and says it', () => {
  const hostile = fc.oneof(
    fc.string({ unit: fc.nat({ max: 0xffff }).map((code) => String.fromCharCode(code)) }),
    fc.constantFrom(
      ']]>',
      '<!--',
      '<failure/>',
      '&#0;',
      '&amp;',
      '"/><x a="',
      '\u0000\u001b[31m',
      '\ud800',
      '\ufffe',
      'a\nb\tc\r',
    ),
  );
  fc.assert(
    fc.property(hostile, hostile, hostile, (name, reason, error) => {
      const now = [
        ...items(20, (i) => (i < 9 ? { score: 0, reason } : {})),
        { item: `x${name}`, score: null, error },
      ];
      const root = report([...items(20), { item: `gone${name}` }], now);
      const speakable = (text: string) =>
        text.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd');
      const failed = cases(root).find((one) => one.attributes['name'] === speakable(`x${name}`))!;
      assert.equal(failed.children[0]!.attributes['message'], speakable(error));
      const fell = cases(root).find((one) => one.attributes['name'] === 'i-0')!;
      assert.equal(
        fell.children[0]!.attributes['message'],
        `1 before, 0 now${reason === '' ? '' : `: ${speakable(reason)}`}`,
      );
      assert.equal(cases(root).length, 12);
    }),
  );
});

test('a scorer is another where its settings or the files that they name are', () => {
  const directory = mkdtempSync(join(tmpdir(), 'loopscope-gate-'));
  const write = (text: string) => writeFileSync(join(directory, 'score.ts'), text);
  try {
    const hashes = [
      hashOfScorer('text', directory),
      hashOfScorer('exact', directory),
      hashOfScorer({ module: 'score.ts' }, directory),
    ];
    for (const text of ['export default () => 1;', 'export default () => 0;']) {
      write(text);
      hashes.push(hashOfScorer({ module: 'score.ts' }, directory));
      const command = ScorerDefinition.parse({ command: { run: ['node', './score.ts'] } });
      hashes.push(hashOfScorer(command, directory));
    }
    assert.equal(new Set(hashes).size, hashes.length);
    assert.equal(hashOfScorer({ module: 'score.ts' }, directory), hashes[5]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
