import { initialWatch, MEASURES, type Measure, stepWatch } from '../../evals/detect/watch.ts';
import type { Observation } from '../../src/records/observation.ts';
import type { Detector } from './detector.ts';

/**
 * The detector as it runs, on loops of which one measure is watched, or all at once. Each takes a value of 0 or 1 a
 * run, 1 being as it should, and says when it alarms, whatever the kind of the alarm.
 */

const RUN: Observation = {
  index: 0,
  runId: 'r',
  at: '2026-01-01T00:00:00Z',
  score: null,
  checkerPass: null,
  effects: 0,
  inputHash: '',
  outputHash: '',
  servedModel: 'm',
  promptVersion: '',
  toolsVersion: '',
  checkerVersion: '',
  datasetVersion: '',
  task: '',
};

/** What a run with this value of a measure looks like. */
const RUN_OF: Record<Measure, (value: number, run: number) => Partial<Observation>> = {
  golden: (score) => ({ score }),
  catches: (value) => ({ score: 0, checkerPass: value === 0 }),
  accepts: (value) => ({ score: 1, checkerPass: value === 1 }),
  effects: (effects) => ({ effects }),
  // Two answers, as many of the one as the rate says.
  answers: (value, run) => ({ inputHash: `input-${run}`, outputHash: `output-${value}` }),
};

/** The baseline is learnt from the stream itself, from `learnScores` values on; the threshold is the guaranteed one. */
export const learntOf =
  (measure: Measure, arl: number, learnScores?: number): Detector =>
  () => {
    const state = initialWatch({ arl, learnScores });
    const runOf = RUN_OF[measure];
    const { fall } = MEASURES[measure];
    return (value) =>
      stepWatch(state, { ...RUN, ...runOf(value, state.runs) }).some(
        ({ type, kind }) => type === 'alarm' && kind === fall,
      );
  };

/** Every measure of the loop at once, each with a coin of its own beside that of the golden score. */
export const learntOfAll =
  (arl: number): Detector =>
  (random) => {
    const state = initialWatch({ arl });
    const coin = () => (random() < 0.8 ? 1 : 0);
    return (score) => {
      const run = { ...RUN, ...RUN_OF.effects(coin(), 0), ...RUN_OF.answers(coin(), state.runs) };
      return stepWatch(state, { ...run, score, checkerPass: coin() === score }).some(
        ({ type, kind }) => type === 'alarm' && kind !== 'golden_rise',
      );
    };
  };
