import {
  agreementByLoop,
  type Disagreement,
  type LoopAgreement,
  type PairAgreement,
} from '../../evals/labels/agreement.ts';
import { successByLabels } from '../../evals/labels/success.ts';
import type { ActiveEstimate } from '../../evals/stats/active-estimate.ts';
import { labelQueue, lookedAt, QUEUE_MAX, type QueueEntry } from '../store/label-queue.ts';
import { standingLabels } from '../store/labels.ts';
import { loopsSeen } from '../store/runs.ts';
import { requireKnownLoop } from './arguments.ts';
import type { CliContext } from './context.ts';
import { count, decimal, iso, percent, time } from './format.ts';
import { type Column, table } from './table.ts';

const RUNS_SHOWN = 20;

/** `success`: the share of all runs that succeed, by the labels. */
type LoopLabels = LoopAgreement & { success: ActiveEstimate | null };

/** `label list`: the queue, and how far raters agree. */
export async function showLabels(context: CliContext, loop: string | undefined): Promise<void> {
  const store = context.store();
  const queue = await labelQueue(store, { loop });
  const labels = await standingLabels(store, { loop });
  if (loop !== undefined && queue.length + labels.length === 0)
    requireKnownLoop(context, loop, await loopsSeen(store));
  const loops: LoopLabels[] = [];
  for (const agreement of agreementByLoop(labels)) {
    const success = successByLabels(await lookedAt(store, agreement.loop)) ?? null;
    loops.push({ ...agreement, success });
  }
  const open = queue.filter((entry) => entry.raters.length === 0);
  context.show({ open: open.length, queue: queue.map(entryDocument), loops }, () => {
    const { line, note, paint } = context.out;
    if (queue.length + labels.length === 0)
      return note('Nobody is asked for labels yet: `labels: { per_day: 10 }` in a suite asks for some.');
    line(
      `${count(open.length)}${queue.length === QUEUE_MAX ? ' of the newest' : ''} ${open.length === 1 ? 'run waits' : 'runs wait'} to be judged: \`loopscope label\``,
    );
    if (open.length > 0)
      for (const text of table(paint, QUEUE_COLUMNS, open.slice(0, RUNS_SHOWN))) line(text);
    if (open.length > RUNS_SHOWN) line(paint('dim', `and ${count(open.length - RUNS_SHOWN)} more`));
    if (loops.length > 0) section(context, 'Labels', LOOP_COLUMNS, loops);
    const pairs = loops.flatMap((of) => of.pairs.map((pair) => ({ ...pair, loop: of.loop })));
    if (pairs.length > 0) section(context, 'How far raters agree', PAIR_COLUMNS, pairs);
    const differing = loops.flatMap((of) => of.disagreements);
    if (differing.length > 0) section(context, 'Runs on which they differ', DISAGREEMENT_COLUMNS, differing);
  });
}

function section<Row>(
  { out }: CliContext,
  heading: string,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): void {
  out.line();
  out.line(out.paint('bold', heading));
  for (const text of table(out.paint, columns, rows)) out.line(text);
}

const entryDocument = ({ loop, run_id, probability, asked_at, raters }: QueueEntry) => ({
  loop,
  run: run_id,
  probability,
  asked_at: iso(asked_at),
  state: raters.length === 0 ? 'open' : 'labelled',
  raters,
});

const QUEUE_COLUMNS: readonly Column<QueueEntry>[] = [
  { header: 'loop', cell: (e) => e.loop },
  { header: 'run', cell: (e) => e.run_id },
  { header: 'asked (UTC)', cell: (e) => time(e.asked_at) },
  { header: 'chosen with', align: 'right', cell: (e) => percent(e.probability) },
];

const LOOP_COLUMNS: readonly Column<LoopLabels>[] = [
  { header: 'loop', cell: (l) => l.loop },
  { header: 'runs labelled', align: 'right', cell: (l) => count(l.labelled) },
  { header: 'by several', align: 'right', cell: (l) => count(l.compared) },
  { header: 'α', align: 'right', cell: (l) => decimal(l.alpha) },
  { header: 'success', align: 'right', cell: ({ success }) => percent(success?.estimate) },
  {
    header: '95 %',
    align: 'right',
    cell: ({ success }) => (success ? `${percent(success.low)} – ${percent(success.high)}` : ''),
  },
  { header: 'of runs', align: 'right', cell: ({ success }) => (success ? count(success.N) : '') },
];

const PAIR_COLUMNS: readonly Column<PairAgreement & { loop: string }>[] = [
  { header: 'loop', cell: (p) => p.loop },
  { header: 'raters', cell: (p) => p.raters.join(', ') },
  { header: 'runs', align: 'right', cell: (p) => count(p.runs) },
  { header: 'agreed', align: 'right', cell: (p) => percent(p.agreed / p.runs) },
  { header: 'κ', align: 'right', cell: (p) => decimal(p.kappa) },
  { header: 'AC1', align: 'right', cell: (p) => decimal(p.ac1) },
];

const DISAGREEMENT_COLUMNS: readonly Column<Disagreement>[] = [
  { header: 'loop', cell: (d) => d.loop },
  { header: 'run', cell: (d) => d.run },
  {
    header: 'labels',
    cell: (d) =>
      d.labels
        .map(({ rater, score, comment }) => `${rater} ${decimal(score)}${comment ? ` "${comment}"` : ''}`)
        .join(', '),
  },
];
