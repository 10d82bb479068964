import { type Command, InvalidArgumentError } from 'commander';
import { resolveReference } from '../../evals/gate/reference.ts';
import { runSuite } from '../../evals/score.ts';
import type { Suite } from '../../evals/suite.ts';
import { LoopscopeError } from '../errors.ts';
import type { CliContext } from './context.ts';
import { add as addCalibrate } from './eval-calibrate.ts';
import {
  checkGateOptions,
  ERROR_DEFAULT,
  GATE_HELP,
  type GateOptions,
  gate,
  scoredSince,
  scoreFile,
} from './eval-gate.ts';
import { add as addList } from './eval-list.ts';
import { count, decimal } from './format.ts';

/** `eval`: suites that hold runs against golden data. */
export function add(program: Command, context: CliContext): void {
  const evals = program.command('eval').description('run suites and see what is due');
  evals
    .command('run')
    .description('score what a suite has to score now; exit code 1 when a scorer failed')
    .argument('<suite>', 'its name')
    .option('--records <file>', 'score these run records instead of stored runs; needs nothing running')
    .option('--golden <file>', 'what is expected of the records, as `golden import` reads it')
    .option('--baseline <ref>', 'compare with these scores: a file of --save, last, a date, prompt:VERSION')
    .option('--error <share>', 'chance to refuse a change that does nothing', errorShare, ERROR_DEFAULT)
    .option('--fail-on-regression', 'exit code 1 where scores fell, or where there is too little to tell')
    .option('--junit <file>', 'write the outcome of the comparison as JUnit')
    .option('--save <file>', 'write the scores, as a later baseline')
    .addHelpText('after', `\nExample:\n  loopscope eval run primes-golden\n${GATE_HELP}`)
    .action((name: string, options: GateOptions) => runNow(context, name, options));
  addCalibrate(evals, context, (name) => suiteNamed(context, name));
  addList(evals, context);
}

/** Throws `not_found`. */
function suiteNamed(context: CliContext, name: string): Suite {
  const suites = context.suites();
  const suite = suites.find((s) => s.suite === name);
  if (!suite)
    throw new LoopscopeError(
      'not_found',
      `There is no suite "${name}" in suites/. Known: ${suites.map((s) => s.suite).join(', ') || 'none'}.`,
    );
  return suite;
}

async function runNow(context: CliContext, name: string, options: GateOptions): Promise<void> {
  const reference = checkGateOptions(options);
  const suite = suiteNamed(context, name);
  const startedAt = context.clock.now();
  // Before anything is scored: a judge is paid.
  const baseline =
    reference && (await resolveReference(reference, suite, { store: context.store, startedAt }));
  if (options.records !== undefined) {
    const scored = await scoreFile(context, suite, options);
    return gate(context, suite, scored, { options, baseline });
  }
  const result = await runSuite(suite, {
    store: context.store(),
    clock: context.clock,
    config: context.config(),
    onProgress: (done, of) => context.out.progress(`scored ${count(done)} of ${count(of)} runs`),
  });
  context.out.progress('');
  const { scored, errors, unmatched, overCap, mean, errorCodes } = result;
  if (errors > 0) context.exitCode = 1;
  if (baseline || options.save !== undefined) {
    const current = await scoredSince(context, suite, startedAt);
    const counts = { unmatched, error_codes: errorCodes };
    return gate(context, suite, { current, problems: [], counts }, { options, baseline });
  }
  context.show(
    {
      suite: name,
      loop: suite.loop,
      scored,
      errors,
      unmatched,
      over_cost_cap: overCap,
      mean: mean ?? null,
      error_codes: errorCodes,
    },
    () => {
      context.out.line(`${count(scored)} runs of ${suite.loop} scored, mean ${decimal(mean)}`);
      if (unmatched > 0)
        context.out.line(`${count(unmatched)} recent runs meet no item of dataset ${suite.dataset}`);
      if (overCap > 0)
        context.out.line(
          `${count(overCap)} runs wait: the day's ${suite.cost_usd_per_day} USD (cost_usd_per_day) are spent`,
        );
      for (const [code, n] of Object.entries(errorCodes))
        context.out.line(context.out.paint('red', `${count(n)} could not be scored: ${code}`));
    },
  );
}

function errorShare(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 1e-6 && value <= 0.5))
    throw new InvalidArgumentError('Expected a share from 0.000001 to 0.5.');
  return value;
}
