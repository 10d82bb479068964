import type { Alarm } from '../../evals/detect/report.ts';

/** The time of a run of the loops that these alarms are of: one a minute. */
export const runTime = (run: number): string => new Date(Date.UTC(2026, 0, 1, 0, run)).toISOString();

/** An alarm at a run, of a change at another. */
export const alarm = (at_run: number, change_at_run: number, kind: Alarm['kind'] = 'golden_drop'): Alarm => ({
  kind,
  at_run,
  at: runTime(at_run),
  change_at_run,
  change_at: runTime(change_at_run),
  cause: { dimension: 'model', from: 'gpt-4-0314', to: 'gpt-4-0613' },
  e_value: 12_345.6,
  checker_pass_rate: { before: 0.996, after: 0.947 },
  golden: { before: 0.84, after: 0.5 },
  evidence: {
    measure: 'golden',
    measured: { before: { n: 1, mean: 0.84 }, after: { n: 1, mean: 0.5 } },
    runs: { before: 1, after: 1 },
    scored: { before: 1, after: 1 },
    verdicts: { before: 1, after: 1 },
    regime_from_run: 0,
    judged_at_run: at_run,
    change_at_run_interval: [change_at_run, at_run],
    change_at_run_by_score: change_at_run,
    threshold: 10_000,
    arl: 10_000,
    baseline: { n: 50, mean: 0.84, bound: 0.7 },
    candidates: [],
    unexplained: 0,
    paired_outputs: [],
    task_mix: null,
    fleet: [],
    look_at: [],
    replay: null,
  },
});
