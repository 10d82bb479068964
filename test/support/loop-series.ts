import type { Observation } from '../../src/records/observation.ts';

/** A stretch of a simulated loop: `runs` runs whose score `draw` gives (null: not scored), under these versions. */
export interface Stretch {
  runs: number;
  draw: () => number | null;
  model?: string;
  prompt?: string;
  tools?: string;
  checker?: string;
  pass?: boolean | null;
  /** What the checker says of a run with this score, in place of `pass`. */
  verdict?: (score: number | null) => boolean | null;
  /** What a run answers and does; an answer of its own and one effect where not given. */
  output?: () => string;
  input?: () => string;
  effects?: () => number;
  dataset?: string;
  task?: () => string;
}

const START_MS = Date.UTC(2023, 5, 1);

/** The stretches one after the other, a run a minute. */
export function seriesOf(...stretches: Stretch[]): Observation[] {
  const series: Observation[] = [];
  for (const stretch of stretches)
    for (let i = 0; i < stretch.runs; i++) {
      const score = stretch.draw();
      const { verdict, pass = true } = stretch;
      series.push({
        index: series.length,
        runId: `r-${series.length}`,
        at: new Date(START_MS + series.length * 60_000).toISOString(),
        score,
        checkerPass: verdict ? verdict(score) : pass,
        effects: stretch.effects?.() ?? 1,
        inputHash: stretch.input?.() ?? `input-${series.length}`,
        outputHash: stretch.output?.() ?? `output-${series.length}`,
        servedModel: stretch.model ?? 'model-a',
        promptVersion: stretch.prompt ?? 'prompt-a',
        toolsVersion: stretch.tools ?? 'tools-a',
        checkerVersion: stretch.checker ?? 'checks@1',
        datasetVersion: stretch.dataset ?? 'dataset-a',
        task: stretch.task?.() ?? '',
      });
    }
  return series;
}

/** Scores that are 1 with probability `p`, else 0. */
export const coin = (random: () => number, p: number) => () => (random() < p ? 1 : 0);

/** A checker that passes so many of the right answers and fails so many of the wrong ones. */
export const checker =
  (random: () => number, passesRight: number, failsWrong: number) => (score: number | null) =>
    score !== null && score >= 0.5 ? random() < passesRight : random() >= failsWrong;

/** One of some answers, by their shares. */
export const answers = (random: () => number, shares: Record<string, number>) => () => {
  let u = random();
  for (const [name, share] of Object.entries(shares)) {
    if (u < share) return name;
    u -= share;
  }
  return Object.keys(shares).at(-1)!;
};

/** Scores in between: the mean of three uniforms, moved to `centre` and `width` wide. */
export const graded = (random: () => number, centre: number, width: number) => () =>
  centre + width * ((random() + random() + random()) / 3 - 0.5);
