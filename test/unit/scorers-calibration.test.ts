import assert from 'node:assert/strict';
import { test } from 'node:test';
import { calibrate, type ScoredLabel } from '../../evals/calibration.ts';

const labels = (n: number, score: number, human: number, probability: number | null = null): ScoredLabel[] =>
  Array.from({ length: n }, () => ({ score, human, probability }));

test('a judge is held against people as one rater against another, and as a checker against the truth', () => {
  // Of 100 both pass 45 and both fail 25; apart are 15 each way.
  const found = calibrate([
    ...labels(45, 1, 1),
    ...labels(15, 1, 0),
    ...labels(15, 0, 1),
    ...labels(25, 0, 0),
  ]);
  assert.deepEqual([found.runs, found.agreed, found.leniency, found.distance], [100, 70, 0, 0.3]);
  // p_o = .7, p_e = .6·.6 + .4·.4 = .52 for κ; 2·.6·.4 = .48 for AC1.
  assert.ok(Math.abs(found.kappa! - 0.18 / 0.48) < 1e-12);
  assert.ok(Math.abs(found.ac1! - 0.22 / 0.52) < 1e-12);
  assert.deepEqual(
    [found.accuracy.sensitivity?.estimate, found.accuracy.specificity?.estimate],
    [0.75, 0.625],
  );
  assert.equal(found.sampled, false);
});

test('a lenient judge shows, and a score halfway passes', () => {
  const found = calibrate([...labels(5, 0.5, 0), ...labels(5, 1, 1)]);
  assert.equal(found.leniency, 0.25);
  assert.equal(found.accuracy.specificity?.estimate, 0);
});

test('where the sampler chose runs, accuracy stands on those alone, by their chances', () => {
  const found = calibrate([
    ...labels(1, 1, 1, 0.5),
    ...labels(1, 0, 1, 0.1),
    ...labels(50, 1, 1),
    ...labels(3, 0, 0, 1),
  ]);
  assert.equal(found.sampled, true);
  assert.equal(found.accuracy_labels, 5);
  assert.ok(Math.abs(found.accuracy.sensitivity!.estimate - 2 / 12) < 1e-12);
  assert.equal(found.runs, 55);
});

test('without labels nothing is said', () => {
  const { runs, kappa, ac1, alpha, leniency, accuracy } = calibrate([]);
  assert.deepEqual(
    [runs, kappa, ac1, alpha, leniency, accuracy.sensitivity],
    [0, null, null, null, null, undefined],
  );
});
