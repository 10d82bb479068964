import type { Command } from 'commander';
import { type Backtest, backtest } from '../../evals/detect/backtest.ts';
import { LEARN_SCORES } from '../../evals/detect/watch.ts';
import { scorerServices } from '../../evals/scorers/services.ts';
import { arlOf } from '../../evals/suite.ts';
import { LoopscopeError } from '../errors.ts';
import { goldenScore, sameText } from '../records/golden-score.ts';
import { contentHash, inputHash } from '../records/normalize.ts';
import { readRecords } from '../records/read.ts';
import type { RunRecord } from '../records/record.ts';
import { alarmText } from './alarm-text.ts';
import { positiveNumber } from './arguments.ts';
import type { CliContext } from './context.ts';
import { count } from './format.ts';
import { suiteScorers } from './suite-scorers.ts';

/** `backtest`: what the detector would have caught in recorded runs, when, and why. */
export function add(program: Command, context: CliContext): void {
  program
    .command('backtest')
    .description('play run records through the detector: what would have been caught, when, and why')
    .argument('<file>', 'run records, one JSON object a line')
    .option('--loop <loop>', 'only this loop')
    .option(
      '--arl <runs>',
      "runs to a false alarm on average (default: the suite's, else 10000)",
      positiveNumber,
    )
    .addHelpText(
      'after',
      '\nExample:\n  loopscope backtest runs.jsonl --loop primes\n\nNeeds nothing running.',
    )
    .action((file: string, options: BacktestOptions) => play(context, file, options));
}

interface BacktestOptions {
  loop?: string;
  arl?: number;
}

type LoopResult = Backtest['loops'][number] & { scored: number; arl: number };

async function play(context: CliContext, file: string, { loop, arl }: BacktestOptions): Promise<void> {
  if (arl !== undefined && arl < 1)
    throw new LoopscopeError('usage', `--arl: expected at least 1 run, found ${arl}.`);
  const { records, bad, unscored } = await readScored(context, file, loop);
  const loops: LoopResult[] = [];
  for (const [name, own] of [...records].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const asked = arl ?? arlOf(name, context.suites());
    const { loops: results } = await backtest(own, { arl: asked });
    const scored = new Set(own.filter((r) => r.golden?.score !== undefined).map((r) => r.run)).size;
    loops.push(...results.map((result) => ({ ...result, scored, arl: asked })));
  }
  if (loop !== undefined && loops.length === 0)
    throw new LoopscopeError('not_found', `${file} has no good line of a loop "${loop}".`);
  if (bad > 0 || unscored > 0) context.exitCode = 1;
  context.show({ loops, bad_lines: bad, unscored_lines: unscored }, () => {
    if (loops.length === 0) context.out.note(`${file} has no run record.`);
    loops.forEach((result, i) => {
      if (i > 0) context.out.line();
      for (const line of describe(result, context)) context.out.line(line);
    });
  });
}

/** The records by loop, each with its golden score, and hashes for the texts that it was made from. */
async function readScored(context: CliContext, file: string, loop: string | undefined) {
  const records = new Map<string, RunRecord[]>();
  const scorers = suiteScorers(
    context.registry(),
    context.suites(),
    scorerServices(context.config(), context.clock, context.endpoints()?.gateway),
  );
  let bad = 0;
  let unscored = 0;
  try {
    for await (const read of readRecords(file)) {
      if ('error' in read) {
        bad++;
        context.out.note(`${file}:${read.line}: ${read.error}`);
        continue;
      }
      const { record, line } = read;
      if (loop !== undefined && record.loop !== loop) continue;
      let score: number | undefined;
      try {
        score = await goldenScore(record, scorers.scorerFor(record.loop) ?? sameText);
      } catch (error) {
        unscored++;
        context.out.note(`${file}:${line}: golden: the scorer failed: ${(error as Error).message}`);
      }
      const own = records.get(record.loop) ?? [];
      own.push({
        ...record,
        // Which texts are alike is all that the detector asks: of a large file, the texts would fill the memory.
        input: record.input === undefined ? undefined : inputHash(record.input),
        output: record.output === undefined ? undefined : contentHash(record.output),
        golden: score === undefined ? undefined : { score },
      });
      records.set(record.loop, own);
      if (line % PROGRESS_LINES === 0) context.out.progress(`${count(line)} lines read`);
    }
  } finally {
    context.out.progress('');
    await scorers.close();
  }
  return { records, bad, unscored };
}

const PROGRESS_LINES = 1_000;

function describe({ loop, runs, scored, arl, alarms }: LoopResult, { out: { paint } }: CliContext): string[] {
  const heading = `${paint('bold', loop)}  ${count(runs)} runs, ${count(scored)} with a golden score`;
  if (alarms.length === 0) {
    const why =
      scored === 0
        ? 'Nothing caught by effects and answers alone: no run has a golden score.'
        : scored < LEARN_SCORES
          ? `Too few to watch: the detector learns a loop's level from its first ${LEARN_SCORES} golden scores.`
          : `Nothing would have been caught (at most one false alarm in ${count(arl)} runs on average).`;
    return [heading, `  ${why}`];
  }
  return [
    heading,
    ...alarms.flatMap((alarm) => [
      `  ${paint(alarm.kind === 'golden_rise' ? 'green' : 'red', alarm.kind)}`,
      ...alarmText(loop, alarm).map((line) => `    ${line}`),
    ]),
  ];
}
