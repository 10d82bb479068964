import type { Command } from 'commander';
import type { LoopState } from '../../evals/standing/loop-state.ts';
import { requireKnownLoop } from './arguments.ts';
import type { CliContext } from './context.ts';
import { type LoopStatus, type StatusDocument, statusDocument } from './fleet-report.ts';
import { count, decimal, percent, some, time, UNKNOWN, usd } from './format.ts';
import type { Output, Style } from './output.ts';
import { type Column, table } from './table.ts';

/** `status`: the fleet, a row a loop, the worst first. */
export function add(program: Command, context: CliContext): void {
  program
    .command('status')
    .description('show how every loop stands, the worst first; exit code 1 when one is failing')
    .option('--loop <loop>', 'only this loop')
    .addHelpText('after', '\nExample:\n  loopscope status --json')
    .action(async ({ loop }: { loop?: string }) => {
      const sources = {
        store: context.store(),
        registry: context.registry(),
        suites: context.suites(),
        now: context.clock.now(),
        runIdleMs: context.config().evals.run_idle_s * 1000,
      };
      const document = await statusDocument(sources, loop);
      if (loop !== undefined && document.loops.length === 0)
        requireKnownLoop(
          context,
          loop,
          (await statusDocument(sources)).loops.map((status) => status.loop),
        );
      if (document.loops.some(({ state }) => state === 'silently_failing' || state === 'failing'))
        context.exitCode = 1;
      context.show(document, () => {
        if (document.loops.length === 0)
          context.out.note('No loop yet. Point one at the gateway, or describe one in loops/*.yaml.');
        for (const line of renderStatus(document, context.out.paint)) context.out.line(line);
      });
    });
}

/** The document as the lines of a table; none without loops. */
export const renderStatus = ({ loops }: StatusDocument, paint: Output['paint']): string[] =>
  loops.length === 0 ? [] : table(paint, COLUMNS, loops);

const STATE_STYLES: Record<LoopState, Style> = {
  silently_failing: ['bold', 'red'],
  failing: 'red',
  suspect: 'yellow',
  idle: 'cyan',
  unmeasured: 'magenta',
  healthy: 'green',
};

const COLUMNS: readonly Column<LoopStatus>[] = [
  {
    header: 'loop',
    cell: ({ loop, registered }) => (registered ? loop : `${loop} (unregistered)`),
  },
  {
    header: 'state',
    cell: ({ state }) => ({ text: state.replace('_', ' '), style: STATE_STYLES[state] }),
  },
  { header: 'runs', align: 'right', cell: (l) => count(l.runs) },
  { header: 'checker', align: 'right', cell: (l) => percent(l.checker_pass_rate) },
  { header: 'golden', align: 'right', cell: ({ golden }) => percent(golden.score) },
  { header: '95 %', cell: ({ golden }) => interval(golden) },
  { header: 'effects/run', align: 'right', cell: (l) => decimal(l.effects_per_run) },
  { header: 'cost', align: 'right', cell: (l) => atLeast(l, l.cost_usd) },
  { header: 'per outcome', align: 'right', cell: (l) => atLeast(l, l.cost_per_useful_outcome_usd) },
  { header: 'answered by', cell: (l) => some(l.served_models) },
  { header: 'last alert (UTC)', cell: (l) => lastAlert(l.last_alert) },
];

const interval = ({ low, high, n }: LoopStatus['golden']): string =>
  low === null || high === null ? UNKNOWN : `${Math.round(low * 100)}–${Math.round(high * 100)} (n=${n})`;

/** Where some calls' cost is unknown, what is known is a lower bound. */
const atLeast = ({ calls_without_cost }: LoopStatus, amount: number | null): string =>
  amount !== null && calls_without_cost > 0 ? `≥ ${usd(amount)}` : usd(amount);

const lastAlert = (alert: LoopStatus['last_alert']) =>
  alert
    ? {
        text: `${alert.kind} ${alert.state} ${time(Date.parse(alert.started_at))}`,
        style: alert.state === 'firing' ? ('red' as const) : ('dim' as const),
      }
    : UNKNOWN;
