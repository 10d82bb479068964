import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LoopFacts, loopState } from '../../evals/standing/loop-state.ts';

const now = Date.parse('2026-11-03T12:00:00Z');
const HOUR = 3_600_000;

const facts = (given: Partial<LoopFacts> = {}): LoopFacts => ({
  now,
  schedule: undefined,
  lastRunAt: now - HOUR,
  recent: { verdicts: 20, passes: 20 },
  alert: undefined,
  detector: { phase: 'watching', eValue: 3, threshold: 10_000 },
  goldenHigh: 0.9,
  ...given,
});

const cases: [string, Partial<LoopFacts>, ReturnType<typeof loopState>][] = [
  ['measured and quiet is healthy', {}, 'healthy'],
  [
    'still learning is unmeasured, never green',
    { detector: { phase: 'learning', eValue: 0, threshold: 1 } },
    'unmeasured',
  ],
  [
    'an open drop while verdicts pass is a silent failure',
    { alert: { kind: 'golden_drop', passRateSince: 0.97 } },
    'silently_failing',
  ],
  [
    'effects that vanished while verdicts pass are a silent failure',
    { alert: { kind: 'no_effect', passRateSince: 1 } },
    'silently_failing',
  ],
  [
    'answers that collapsed while verdicts pass are a silent failure',
    { alert: { kind: 'output_collapse', passRateSince: 0.9 } },
    'silently_failing',
  ],
  [
    'a checker that drifts is worth a look',
    { alert: { kind: 'checker_drift', passRateSince: 1 } },
    'suspect',
  ],
  [
    'an open drop whose verdicts fail too is plain failure',
    { alert: { kind: 'golden_drop', passRateSince: 0.2 } },
    'failing',
  ],
  [
    'an open drop without any verdict is failure',
    { alert: { kind: 'golden_drop', passRateSince: null } },
    'failing',
  ],
  ['most recent verdicts failing is failure', { recent: { verdicts: 20, passes: 9 } }, 'failing'],
  ['too few verdicts to say are not failure', { recent: { verdicts: 4, passes: 0 } }, 'healthy'],
  [
    'evidence gathering makes it suspect',
    { detector: { phase: 'watching', eValue: 100, threshold: 10_000 } },
    'suspect',
  ],
  [
    'a fall that the detector sees and no alert tells of is not green',
    { detector: { phase: 'alarmed', eValue: 0, threshold: 10_000 } },
    'suspect',
  ],
  ['what was never good cannot fall, and is not green either', { goldenHigh: 0.2 }, 'suspect'],
  [
    'a suite that gives no scores makes its loop unmeasured, not failing',
    { alert: { kind: 'unmeasured', passRateSince: null } },
    'unmeasured',
  ],
  [
    'unmeasured and out of work is idle',
    { alert: { kind: 'unmeasured', passRateSince: null }, lastRunAt: null },
    'idle',
  ],
  ['never ran is idle', { lastRunAt: null }, 'idle'],
  ['one missed time is not idle yet', { schedule: '0 * * * *', lastRunAt: now - 1.5 * HOUR }, 'healthy'],
  ['two missed times are idle', { schedule: '0 * * * *', lastRunAt: now - 2.5 * HOUR }, 'idle'],
  [
    'a missed schedule outweighs being unmeasured',
    {
      schedule: '0 * * * *',
      lastRunAt: now - 9 * HOUR,
      detector: { phase: 'learning', eValue: 0, threshold: 1 },
    },
    'idle',
  ],
  [
    'a weekly loop may be quiet for days',
    { schedule: '0 6 * * 2', lastRunAt: now - 6 * 24 * HOUR },
    'healthy',
  ],
  ['without a schedule a week of silence is idle', { lastRunAt: now - 8 * 24 * HOUR }, 'idle'],
  [
    'what was never measured stays unmeasured however old',
    { lastRunAt: now - 900 * 24 * HOUR, detector: { phase: 'learning', eValue: 0, threshold: 1 } },
    'unmeasured',
  ],
  [
    'a failing loop is failing though it has stopped',
    { lastRunAt: now - 900 * 24 * HOUR, alert: { kind: 'golden_drop', passRateSince: 1 } },
    'silently_failing',
  ],
];

for (const [what, given, state] of cases)
  test(`state: ${what}`, () => assert.equal(loopState(facts(given)), state));
