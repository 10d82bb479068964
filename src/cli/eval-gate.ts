import { readFileSync, writeFileSync } from 'node:fs';
import { compare, refusals } from '../../evals/gate/compare.ts';
import { junit } from '../../evals/gate/junit.ts';
import { parseReference, type Reference, storedSet } from '../../evals/gate/reference.ts';
import { type ScoredRecords, scoreRecords } from '../../evals/gate/score-records.ts';
import { type ScoreSet, scoreSet, writeScoreSet } from '../../evals/gate/score-set.ts';
import { hashOfScorer } from '../../evals/gate/scorer-hash.ts';
import { parseGolden } from '../../evals/golden.ts';
import { makeScorer, scorerName } from '../../evals/scorers/registry.ts';
import { scorerServices } from '../../evals/scorers/services.ts';
import type { Suite } from '../../evals/suite.ts';
import { LoopscopeError } from '../errors.ts';
import type { CliContext } from './context.ts';
import { tellGate } from './eval-gate-text.ts';
import { count, decimal, iso } from './format.ts';

/** The gate of `eval run`: scores of a change held against a baseline, as text, as JSON and as a JUnit file. */
export interface GateOptions {
  records?: string;
  golden?: string;
  baseline?: string;
  error: number;
  failOnRegression?: boolean;
  junit?: string;
  save?: string;
}

export const ERROR_DEFAULT = 0.05;

export const GATE_HELP = `
A gate for changes: score what the changed prompt answered, and refuse it where scores fell.
  loopscope eval run primes-golden --records main.jsonl --golden primes.jsonl --save main.scores.json
  loopscope eval run primes-golden --records change.jsonl --golden primes.jsonl \\
    --baseline main.scores.json --fail-on-regression --junit gate.xml

Records are run records, one JSON object a line, with item or input, and output; nothing else has to run. Without
--golden they bring golden.expected themselves; a golden.score that they bring stands. Without --records the suite
scores stored runs, and what it scored now is compared.

--baseline is a file of --save, or stored scores: last, a date such as 2026-11-20 (scores made before it), or
prompt:VERSION. Items are compared in pairs by an exact test: a change that does nothing is refused with a chance of
at most --error. With --fail-on-regression the exit code is also 1 where there is too little to compare, an item
could not be scored, or an item of the baseline was not answered.`;

/** Throws `usage` for options that say nothing together. */
export function checkGateOptions(options: GateOptions): Reference | undefined {
  const refuse = (what: string) => new LoopscopeError('usage', what);
  if (options.golden !== undefined && options.records === undefined)
    throw refuse('--golden: expected beside --records; stored runs meet the golden data of the suite.');
  if (options.failOnRegression && options.baseline === undefined)
    throw refuse('--fail-on-regression: expected beside --baseline, which it compares with.');
  if (options.junit !== undefined && !options.failOnRegression)
    throw refuse('--junit: expected beside --fail-on-regression, whose outcome it holds.');
  return options.baseline === undefined ? undefined : parseReference(options.baseline);
}

/** What was scored now, and what was wrong with it beyond single items. */
export interface ScoredNow {
  current: ScoreSet;
  problems: string[];
  counts: object;
}

/** Scores a file of run records by the suite, without a store. */
export async function scoreFile(context: CliContext, suite: Suite, options: GateOptions): Promise<ScoredNow> {
  const file = options.records!;
  const services = scorerServices(context.config(), context.clock, context.endpoints()?.gateway);
  const scorer = makeScorer(suite.scorer, suite.directory, services);
  try {
    const scored = await scoreRecords({
      file,
      loop: suite.loop,
      scorer,
      golden: options.golden === undefined ? undefined : readGolden(options.golden),
      onProgress: (done) => context.out.progress(`scored ${count(done)} records`),
    });
    context.out.progress('');
    for (const { line, error } of scored.complaints) context.out.note(`${file}:${line}: ${error}`);
    const current = scoreSet({
      suite: suite.suite,
      loop: suite.loop,
      scorer: scorerName(suite.scorer),
      scorer_hash: hashOfScorer(suite.scorer, suite.directory),
      made_at: iso(context.clock.now()),
      scores: scored.scores,
    });
    const { unmatched, otherLoops, badLines, overLimit, usage, flags } = scored;
    const counts = {
      unmatched,
      other_loops: otherLoops,
      bad_lines: badLines,
      over_limit: overLimit,
      flags,
      usage: { calls: usage.calls, input_tokens: usage.inputTokens, output_tokens: usage.outputTokens },
    };
    return { current, problems: problemsOf(scored), counts };
  } finally {
    await scorer.close?.();
  }
}

function problemsOf({ badLines, overLimit }: ScoredRecords): string[] {
  return [
    badLines > 0 ? `${badLines} lines are no run records` : undefined,
    overLimit > 0 ? `${overLimit} records are more than one scoring takes` : undefined,
  ].filter((problem) => problem !== undefined);
}

function readGolden(path: string) {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new LoopscopeError('bad_input', `${path}: cannot be read: ${(error as Error).message}`);
  }
  return parseGolden(path, text);
}

/** The stored scores of the suite that were made since `startedAt`. */
export const scoredSince = (context: CliContext, suite: Suite, startedAt: number): Promise<ScoreSet> =>
  storedSet(context.store(), suite, { from: startedAt, before: context.clock.now() + 1 });

/** Keeps and compares what was scored now, as the options say, and tells. Sets the exit code. */
export function gate(
  context: CliContext,
  suite: Suite,
  { current, problems, counts }: ScoredNow,
  { options, baseline }: { options: GateOptions; baseline: ScoreSet | undefined },
): void {
  if (options.save !== undefined) writeScoreSet(options.save, current);
  const scored = current.scores.filter(({ score }) => score !== null);
  const failed = current.scores.length - scored.length;
  const mean =
    scored.length === 0 ? null : scored.reduce((sum, { score }) => sum + score!, 0) / scored.length;
  const comparison = baseline && compare(baseline, current, options.error);
  const reasons = comparison && options.failOnRegression ? [...refusals(comparison), ...problems] : [];
  if (reasons.length > 0 || failed > 0 || problems.length > 0) context.exitCode = 1;
  if (current.scores.length === 0 || comparison?.verdict === 'nothing_to_compare') context.exitCode = 1;
  if (options.junit !== undefined && comparison) {
    const file = junit({ suite: suite.suite, refusals: reasons, comparison });
    try {
      writeFileSync(options.junit, file);
    } catch (error) {
      throw new LoopscopeError(
        'bad_input',
        `${options.junit}: cannot be written: ${(error as Error).message}`,
      );
    }
  }
  const document = {
    suite: suite.suite,
    loop: suite.loop,
    scored: scored.length,
    errors: failed,
    mean,
    ...counts,
  };
  context.show({ ...document, gate: comparison ? { ...comparison, refused: reasons } : null }, () => {
    context.out.line(`${count(scored.length)} runs of ${suite.loop} scored, mean ${decimal(mean)}`);
    if (failed > 0) context.out.line(context.out.paint('red', `${count(failed)} could not be scored`));
    for (const problem of problems) context.out.line(context.out.paint('red', problem));
    if (comparison) tellGate(context, comparison, reasons, options);
  });
}
