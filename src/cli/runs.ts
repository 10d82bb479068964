import type { Command } from 'commander';
import { latestRuns, loopsSeen, type Run } from '../store/runs.ts';
import { positiveInteger, requireKnownLoop } from './arguments.ts';
import type { CliContext } from './context.ts';
import { count, decimal, duration, iso, some, time, UNKNOWN, usd } from './format.ts';
import { type Column, table } from './table.ts';

const LIMIT_DEFAULT = 20;

/** `runs`: the latest runs of a loop, newest first. */
export function add(program: Command, context: CliContext): void {
  program
    .command('runs')
    .description('list the latest runs of a loop, or of all')
    .option('--loop <loop>', 'only this loop')
    .option('--limit <n>', 'how many', positiveInteger, LIMIT_DEFAULT)
    .addHelpText('after', '\nExample:\n  loopscope runs --loop primes --limit 50')
    .action(async ({ loop, limit }: { loop?: string; limit: number }) => {
      const runs = await latestRuns(context.store(), { loop, limit });
      if (loop !== undefined && runs.length === 0)
        requireKnownLoop(context, loop, await loopsSeen(context.store()));
      context.show({ runs: runs.map(document) }, () => {
        if (runs.length === 0)
          context.out.note('No run yet. Point a loop at the gateway, or `loopscope import` some.');
        else for (const line of table(context.out.paint, columns(loop), runs)) context.out.line(line);
      });
    });
}

function columns(loop: string | undefined): Column<Run>[] {
  const all: Column<Run>[] = [
    { header: 'run', cell: (r) => r.runId },
    { header: 'started (UTC)', cell: (r) => time(r.startedAt) },
    { header: 'took', align: 'right', cell: (r) => duration(r.endedAt - r.startedAt) },
    {
      header: 'state',
      cell: ({ state }) => ({
        text: state,
        style: state === 'failed' ? 'red' : state === 'running' ? 'cyan' : undefined,
      }),
    },
    { header: 'checker', cell: ({ checkerPass }) => verdict(checkerPass) },
    { header: 'golden', align: 'right', cell: (r) => decimal(r.goldenScore) },
    { header: 'effects', align: 'right', cell: (r) => count(r.effects) },
    { header: 'calls', align: 'right', cell: (r) => count(r.calls) },
    {
      header: 'errors',
      align: 'right',
      cell: (r) => ({ text: count(r.errors), style: r.errors > 0 ? 'red' : undefined }),
    },
    { header: 'tokens in', align: 'right', cell: (r) => count(r.inputTokens) },
    { header: 'out', align: 'right', cell: (r) => count(r.outputTokens) },
    { header: 'cost', align: 'right', cell: (r) => usd(r.costUsd) },
    { header: 'answered by', cell: (r) => some(r.servedModels) },
  ];
  return loop === undefined ? [{ header: 'loop', cell: (r) => r.loop }, ...all] : all;
}

/** A checker's verdict as a coloured word. */
export function verdict(pass: boolean | null): { text: string; style?: 'green' | 'red' } {
  if (pass === null) return { text: UNKNOWN };
  return pass ? { text: 'pass', style: 'green' } : { text: 'fail', style: 'red' };
}

const document = (r: Run) => ({
  loop: r.loop,
  run: r.runId,
  trace_id: r.traceId,
  started_at: iso(r.startedAt),
  ended_at: iso(r.endedAt),
  state: r.state,
  registered: r.registered,
  agents: r.agents,
  models: r.models,
  served_models: r.servedModels,
  checker_pass: r.checkerPass,
  golden_score: r.goldenScore,
  effects: r.effects,
  effects_rejected: r.effectsRejected,
  calls: r.calls,
  errors: r.errors,
  input_tokens: r.inputTokens,
  output_tokens: r.outputTokens,
  cost_usd: r.costUsd,
});
