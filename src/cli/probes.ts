import type { Command } from 'commander';
import type { Rate } from '../../evals/probe/checker.ts';
import type { ProbedSuite } from '../../evals/probe/job.ts';
import { type ProbeStanding, probeStanding } from '../../evals/probe/report.ts';
import type { CliContext } from './context.ts';
import { count, decimal, iso, percent, time, UNKNOWN, usd } from './format.ts';
import { type Column, table } from './table.ts';

/** `probes`: what the loops' live agents make of golden data, beside their runs. */
export function add(program: Command, context: CliContext): void {
  program
    .command('probes')
    .description(
      'show what probes say of makers and checkers: golden inputs sent through them, beside their runs',
    )
    .option('--loop <loop>', 'only this loop')
    .addHelpText(
      'after',
      '\nExample:\n  loopscope probes --json\n\nA suite has probes where suites/*.yaml says `probe:`.',
    )
    .action(async ({ loop }: { loop?: string }) => {
      const suites = context
        .suites()
        .filter((suite): suite is ProbedSuite => suite.probe !== undefined)
        .filter((suite) => loop === undefined || suite.loop === loop);
      const standings: ProbeStanding[] = [];
      for (const suite of suites)
        standings.push(await probeStanding(context.store(), suite, context.clock.now()));
      context.show({ probes: standings.map(document) }, () => {
        if (standings.length === 0)
          return context.out.note('No suite has probes: say `probe:` in suites/*.yaml.');
        for (const line of table(context.out.paint, COLUMNS, standings)) context.out.line(line);
        for (const { suite, last } of standings)
          if (last?.message) context.out.note(`${suite}: ${last.message}`);
      });
    });
}

const document = ({ suite, loop, dueAt, last, maker, checker, costUsd }: ProbeStanding) => ({
  suite,
  loop,
  due_at: dueAt === undefined ? null : iso(dueAt),
  last: last
    ? {
        reason: last.reason,
        state: last.state,
        at: iso(last.at),
        planned: last.planned,
        answered: last.answered,
        errors: last.errors,
        message: last.message,
      }
    : null,
  maker: maker
    ? {
        agent: maker.agent,
        served_model: maker.servedModel,
        golden: maker.score ?? null,
        errors: maker.errors,
      }
    : null,
  checker: checker
    ? {
        agent: checker.agent,
        sensitivity: checker.sensitivity ?? null,
        specificity: checker.specificity ?? null,
        errors: checker.errors,
      }
    : null,
  cost_usd: costUsd,
});

const COLUMNS: readonly Column<ProbeStanding>[] = [
  { header: 'suite', cell: ({ suite }) => suite },
  { header: 'loop', cell: ({ loop }) => loop },
  { header: 'due (UTC)', cell: ({ dueAt }) => time(dueAt) },
  { header: 'last (UTC)', cell: ({ last }) => time(last?.at) },
  {
    header: 'went',
    cell: ({ last }) => ({
      text: last?.state ?? UNKNOWN,
      style: last?.state === 'failed' ? 'red' : undefined,
    }),
  },
  { header: 'answered', align: 'right', cell: ({ last }) => count(last?.answered) },
  {
    header: 'errors',
    align: 'right',
    cell: ({ last }) => ({ text: count(last?.errors), style: last?.errors ? 'red' : undefined }),
  },
  { header: 'golden', cell: ({ maker }) => golden(maker?.score) },
  { header: 'answered by', cell: ({ maker }) => maker?.servedModel || UNKNOWN },
  { header: 'passes right', cell: ({ checker }) => share(checker?.sensitivity) },
  { header: 'refuses wrong', cell: ({ checker }) => share(checker?.specificity) },
  { header: 'cost', align: 'right', cell: ({ costUsd }) => usd(costUsd) },
];

const golden = (rate: Rate | undefined): string =>
  rate ? `${decimal(rate.rate)} (${decimal(rate.low)}–${decimal(rate.high)}, n=${rate.n})` : UNKNOWN;

const share = (rate: Rate | undefined): string =>
  rate ? `${percent(rate.rate)} (${percent(rate.low)}–${percent(rate.high)}, n=${rate.n})` : UNKNOWN;
