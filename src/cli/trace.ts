import type { Command } from 'commander';
import { LoopscopeError } from '../errors.ts';
import { replayNamed } from '../store/replays.ts';
import {
  loopsWithRun,
  spansOfTraces,
  TRACE_SPANS_MAX,
  type TraceSpan,
  tracesOfRun,
} from '../store/traces.ts';
import type { CliContext } from './context.ts';
import { count, duration, iso, usd } from './format.ts';
import { spanTree, type TreeNode } from './run-tree.ts';
import { verdict } from './runs.ts';
import { type Cell, type Column, table } from './table.ts';
import { drawTree } from './tree.ts';

/** `trace`: one run as the tree of its spans. */
export function add(program: Command, context: CliContext): void {
  program
    .command('trace')
    .description('show a run as a tree of its agents and model calls')
    .argument('<id>', 'a run id, a replay id or a trace id')
    .option('--loop <loop>', 'the loop whose run is meant, where several have one of that id')
    .addHelpText('after', '\nExample:\n  loopscope trace r-000123 --loop primes')
    .action(async (id: string, { loop }: { loop?: string }) => {
      const traceIds = await tracesOf(context, id, loop);
      const spans = await spansOfTraces(context.store(), traceIds);
      if (spans.length === TRACE_SPANS_MAX)
        context.out.note(`Only the first ${count(TRACE_SPANS_MAX)} spans are shown.`);
      const roots = spanTree(spans);
      const runs = new Set(spans.filter((s) => s.runId).map((s) => JSON.stringify([s.loop, s.runId])));
      const document = {
        runs: [...runs].map((run) => {
          const [loop, runId] = JSON.parse(run) as [string, string];
          return { loop, run: runId };
        }),
        trace_ids: traceIds,
        spans: roots.map(nodeDocument),
      };
      context.show(document, () => {
        const origin = Math.min(...roots.map((root) => root.startMs));
        for (const line of table(context.out.paint, columns(origin), drawTree(roots))) context.out.line(line);
      });
    });
}

/** The traces that `id` means. Throws `not_found`, or `usage` where it could be several runs. */
async function tracesOf(context: CliContext, id: string, loop: string | undefined): Promise<string[]> {
  const store = context.store();
  const loops = (await loopsWithRun(store, id)).filter((name) => loop === undefined || name === loop);
  if (loops.length > 1)
    throw new LoopscopeError(
      'usage',
      `Several loops have a run "${id}": ${loops.join(', ')}. Say which with --loop.`,
    );
  const traceIds = loops.length === 1 ? await tracesOfRun(store, loops[0]!, id) : [];
  if (traceIds.length > 0) return traceIds;
  const traceId = id.toLowerCase();
  const replay = await replayNamed(store, id);
  if (replay) return [replay.traceId];
  if (/^[0-9a-f]{32}$/.test(traceId) && (await spansOfTraces(store, [traceId])).length > 0) return [traceId];
  throw new LoopscopeError(
    'not_found',
    `There is no run or trace "${id}"${loop === undefined ? '' : ` of loop "${loop}"`}. \`loopscope runs\` lists the latest; a run shows up a second or two after its first call has ended.`,
  );
}

type Line = { node: TreeNode; prefix: string };

function columns(originMs: number): Column<Line>[] {
  return [
    { header: 'span', cell: ({ node, prefix }) => prefix + title(node) },
    { header: 'at', align: 'right', cell: ({ node }) => `+${duration(node.startMs - originMs)}` },
    { header: 'took', align: 'right', cell: ({ node }) => duration(node.endMs - node.startMs) },
    { header: 'tokens in', align: 'right', cell: ({ node }) => figure(node, count(node.inputTokens)) },
    { header: 'out', align: 'right', cell: ({ node }) => figure(node, count(node.outputTokens)) },
    { header: 'cost', align: 'right', cell: ({ node }) => figure(node, usd(node.costUsd)) },
    { header: 'answered by', cell: ({ node }) => node.span.servedModel },
    { header: '', cell: ({ node }) => remark(node) },
  ];
}

/** Verdicts, effects and other instants have no usage to be unknown. */
const figure = (node: TreeNode, text: string): string =>
  ['run', 'agent', 'call'].includes(node.kind) || node.inputTokens !== null ? text : '';

function title({ kind, name, span }: TreeNode): string {
  if (kind === 'run') return `${span.loop} ${span.runId}`;
  if (kind === 'agent' && span.role) return `${span.agent} (${span.role})`;
  return name;
}

function remark(node: TreeNode): Cell {
  const { span } = node;
  if (span.status === 'Error' || span.errorType)
    return { text: [span.errorType, span.statusMessage].filter(Boolean).join(': ') || 'error', style: 'red' };
  if (span.verdict) return verdict(span.verdict === 'true');
  if (span.effectAccepted === 'false') return { text: 'turned down', style: 'yellow' };
  if (!node.reported) return { text: 'not ended yet', style: 'dim' };
  return '';
}

interface SpanDocument {
  span_id: string;
  trace_id: string;
  name: string;
  kind: string;
  reported: boolean;
  loop: string | null;
  agent: string | null;
  role: TraceSpan['role'] | null;
  started_at: string;
  duration_ms: number;
  input_tokens: number | null;
  output_tokens: number | null;
  cost_usd: number | null;
  model: string | null;
  served_model: string | null;
  verdict: boolean | null;
  error: { type: string | null; message: string | null } | null;
  children: SpanDocument[];
}

function nodeDocument(node: TreeNode): SpanDocument {
  const { span } = node;
  const failed = span.status === 'Error' || span.errorType !== '';
  return {
    span_id: node.spanId,
    trace_id: span.traceId,
    name: node.name,
    kind: node.kind,
    reported: node.reported,
    loop: span.loop || null,
    agent: span.agent || null,
    role: span.role || null,
    started_at: iso(node.startMs),
    duration_ms: Math.round((node.endMs - node.startMs) * 1000) / 1000,
    input_tokens: node.inputTokens,
    output_tokens: node.outputTokens,
    cost_usd: node.costUsd,
    model: span.requestModel || null,
    served_model: span.servedModel || null,
    verdict: span.verdict ? span.verdict === 'true' : null,
    error: failed ? { type: span.errorType || null, message: span.statusMessage || null } : null,
    children: node.children.map(nodeDocument),
  };
}
