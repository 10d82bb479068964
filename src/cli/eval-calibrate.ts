import type { Command } from 'commander';
import { type Calibration, calibrate, type ScoredLabel } from '../../evals/calibration.ts';
import { scorerName } from '../../evals/scorers/registry.ts';
import type { Rate } from '../../evals/stats/rates.ts';
import type { Suite } from '../../evals/suite.ts';
import { LABELS_MAX, labelledRuns } from '../store/labels.ts';
import { scoresOfRuns } from '../store/suite-scores.ts';
import type { CliContext } from './context.ts';
import { count, decimal, percent, UNKNOWN } from './format.ts';

/** `eval calibrate`: a suite's scores held against what people said of the same runs. */
export function add(evals: Command, context: CliContext, suiteNamed: (name: string) => Suite): void {
  evals
    .command('calibrate')
    .description("hold a suite's scores against people's labels: how far to believe its judge")
    .argument('<suite>', 'its name')
    .addHelpText(
      'after',
      '\nExample:\n  loopscope eval calibrate answers-judged\n\nLabels: `loopscope label`.',
    )
    .action(async (name: string) => {
      const suite = suiteNamed(name);
      const calibration = calibrate(await scoredLabels(context, suite));
      context.show({ suite: name, loop: suite.loop, scorer: scorerName(suite.scorer), ...calibration }, () =>
        tell(context, suite, calibration),
      );
    });
}

/** Runs per question to the store: their ids stand in it. */
const RUNS_AT_ONCE = 5_000;

async function scoredLabels(context: CliContext, suite: Suite): Promise<ScoredLabel[]> {
  const { loop, suite: name, scorer } = suite;
  const store = context.store();
  const labelled = await labelledRuns(store, { loop, limit: LABELS_MAX });
  const scored: ScoredLabel[] = [];
  for (let at = 0; at < labelled.length; at += RUNS_AT_ONCE) {
    const some = labelled.slice(at, at + RUNS_AT_ONCE);
    const runIds = some.map(({ runId }) => runId);
    const scores = await scoresOfRuns(store, { loop, suite: name, scorer: scorerName(scorer), runIds });
    for (const { runId, score: human, probability } of some) {
      const score = scores.get(runId);
      if (score !== undefined) scored.push({ score, human, probability });
    }
  }
  return scored;
}

function tell({ out }: CliContext, { suite, loop }: Suite, calibration: Calibration): void {
  const { runs, agreed, kappa, ac1, alpha, leniency, distance, accuracy, accuracy_labels, sampled } =
    calibration;
  if (runs === 0) {
    out.note(`No run of ${loop} has both a score of ${suite} and a label. Label some: \`loopscope label\`.`);
    return;
  }
  out.line(
    `${count(runs)} runs have a score of ${suite} and a label; ${count(agreed)} both pass or both fail`,
  );
  out.line(`agreement    κ ${decimal(kappa)}, AC1 ${decimal(ac1)}, α of the scores ${decimal(alpha)}`);
  out.line(`scores       ${signed(leniency)} against people on average, ${decimal(distance)} apart`);
  out.line(`passes good  ${rate(accuracy.sensitivity)}`);
  out.line(`fails bad    ${rate(accuracy.specificity)}`);
  const chosen = sampled ? 'that the sampler chose, by their chances' : 'that raters chose: no fair sample';
  out.line(out.paint('dim', `the last two stand on ${count(accuracy_labels)} labels of runs ${chosen}`));
}

const rate = (of: Rate | undefined): string =>
  of ? `${percent(of.estimate)} (${percent(of.low)} to ${percent(of.high)}, ${count(of.n)} runs)` : UNKNOWN;

const signed = (value: number | null): string => `${value !== null && value > 0 ? '+' : ''}${decimal(value)}`;
