import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fleetEvidence, initialWatch, stepWatch, type WatchEvent } from '../../evals/detect/watch.ts';
import { eBenjaminiHochberg } from '../../evals/stats/e-bh.ts';
import { seededRandom } from '../../src/clock.ts';
import { coin, seriesOf } from '../support/loop-series.ts';

/** Runs of a loop whose every part may come and go, in stretches so that something happens. */
const stretch = fc.record({
  runs: fc.integer({ min: 1, max: 120 }),
  score: fc.option(fc.constantFrom(0, 0.5, 1, 0.2, 0.9), { nil: null }),
  noise: fc.constantFrom(0, 0.1, 0.5),
  pass: fc.option(fc.boolean(), { nil: null }),
  effects: fc.constantFrom(0, 1, 3),
  output: fc.constantFrom('', 'same', 'own'),
});
const loop = fc.tuple(fc.array(stretch, { minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 1e6 }));

function runsOf([stretches, seed]: typeof loop extends fc.Arbitrary<infer T> ? T : never) {
  const random = seededRandom(seed);
  return seriesOf(
    ...stretches.map(({ runs, score, noise, pass, effects, output }) => ({
      runs,
      draw: () => (score === null ? null : random() < noise ? random() : score),
      pass,
      effects: () => effects,
      output: () => (output === 'own' ? `${random()}` : output),
    })),
  );
}

test('whatever the runs: alarms lead, join a leader that is open, and end once', () => {
  fc.assert(
    fc.property(loop, (drawn) => {
      const state = initialWatch({ arl: 100, learnScores: 20 });
      const open = new Set<string>();
      // Of those that joined another before, the evidence may have fallen since.
      const known = new Set<string>();
      for (const run of runsOf(drawn))
        for (const event of stepWatch(state, run)) {
          if (event.type === 'recovered') assert.ok(open.delete(event.kind), `${event.kind} was not open`);
          else if (event.joins !== null) {
            assert.ok(open.has(event.joins), `${event.joins} was not open`);
            known.add(event.kind);
          } else if (event.kind !== 'golden_rise') {
            assert.ok(!open.has(event.kind), `${event.kind} was open`);
            open.add(event.kind);
            if (!known.has(event.kind))
              assert.ok(event.eValue >= event.threshold && fleetEvidence(state) >= 1);
          }
        }
      const leaders = state.open.filter((entry) => entry.joins === null).map((entry) => entry.kind);
      assert.deepEqual(leaders.sort(), [...open].sort());
    }),
  );
});

test('whatever the runs: a state that went through JSON goes on as if it had not', () => {
  fc.assert(
    fc.property(loop, (drawn) => {
      const kept = initialWatch({ arl: 100, learnScores: 20 });
      let stored = initialWatch({ arl: 100, learnScores: 20 });
      for (const run of runsOf(drawn)) {
        const events: readonly WatchEvent[] = stepWatch(kept, run);
        stored = JSON.parse(JSON.stringify(stored));
        assert.deepEqual(stepWatch(stored, run), events);
      }
      assert.deepEqual(stored, JSON.parse(JSON.stringify(kept)));
    }),
  );
});

test('of 300 loops those 10 that fail stand out, and no other', () => {
  const random = seededRandom(71);
  const states = Array.from({ length: 300 }, () => initialWatch({ arl: 1000 }));
  for (const [i, state] of states.entries()) {
    const [good, bad] = [coin(random, 0.9), coin(random, 0.4)];
    const later = i < 10 ? bad : good;
    for (const run of seriesOf({ runs: 200, draw: good }, { runs: 150, draw: later })) stepWatch(state, run);
  }
  const picked = eBenjaminiHochberg(states.map(fleetEvidence), 0.05);
  assert.deepEqual(
    picked.toSorted((a, b) => a - b),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
});
