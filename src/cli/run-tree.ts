import { agentSpanId, runSpanId } from '../span/ids.ts';
import type { TraceSpan } from '../store/traces.ts';

/**
 * Puts the spans of a trace together as the tree they are.
 *
 * Spans arrive in any order and not all of them: the caller's own span may never be exported, those of runs and
 * agents come only when they end. What is missing is stood in for (`reported: false`) from what the others say of
 * their loop, agent and parent agent, so that maker, checker and sub-agents show as such from the first call on.
 * A span that came twice is one.
 */
export interface TreeNode {
  /** What stands for it in the trace; for a stand-in, the id the real span will have. */
  spanId: string;
  name: string;
  /** run | agent | call | verdict | effect | … ; `span` for those that are not ours */
  kind: string;
  /** Whether the span itself is there, or only others that speak of it. */
  reported: boolean;
  span: TraceSpan;
  startMs: number;
  endMs: number;
  /** Of its own for a call, of all calls below for the others; `null` when nobody said. */
  inputTokens: number | null;
  outputTokens: number | null;
  costUsd: number | null;
  children: TreeNode[];
}

/** The roots of the trees that `spans` make up, oldest first. */
export function spanTree(spans: readonly TraceSpan[]): TreeNode[] {
  const nodes = new Map<string, TreeNode>();
  const keyBySpanId = new Map<string, string>();
  for (const span of spans) {
    const key = keyOf(span);
    keyBySpanId.set(inTrace(span, span.spanId), key);
    const known = nodes.get(key);
    if (known) merge(known, span);
    else nodes.set(key, nodeOf(span, true));
  }
  // Ids that stand-ins answer to: whoever names such a parent means this agent or run.
  for (const span of spans) {
    if (!belongsToRun(span)) continue;
    keyBySpanId.set(inTrace(span, runSpanId(span.traceId)), RUN_KEY);
    if (!span.agent) continue;
    const path = agentPath(span);
    const agentId = inTrace(span, agentSpanId(span.traceId, path));
    if (!keyBySpanId.has(agentId)) keyBySpanId.set(agentId, agentKey(span, path));
  }

  const parents = new Map<TreeNode, TreeNode>();
  const standIn = (span: TraceSpan, path: readonly string[]): TreeNode => {
    const key = path.length === 0 ? runKey(span) : agentKey(span, path);
    let node = nodes.get(key);
    if (!node) {
      node = nodeOf(missing(span, path, spans), false);
      nodes.set(key, node);
      if (path.length > 0) parents.set(node, standIn(span, path.slice(0, -1)));
    }
    return node;
  };
  const parentOf = (span: TraceSpan): TreeNode | undefined => {
    const named = span.parentSpanId && keyBySpanId.get(inTrace(span, span.parentSpanId));
    if (named === RUN_KEY && belongsToRun(span)) return standIn(span, []);
    const node = named ? nodes.get(named) : undefined;
    if (node) return node;
    if (!belongsToRun(span) || span.record === 'run') return undefined;
    if (span.record === 'agent') return standIn(span, agentPath(span).slice(0, -1));
    const speaksForAgent = span.agent !== '' && span.record !== 'verdict' && span.record !== 'effect';
    return standIn(span, speaksForAgent ? agentPath(span) : []);
  };
  for (const node of [...nodes.values()]) {
    const parent = parentOf(node.span);
    if (parent && !isWithin(parent, node, parents)) parents.set(node, parent);
  }

  const roots: TreeNode[] = [];
  for (const node of nodes.values()) (parents.get(node)?.children ?? roots).push(node);
  for (const root of roots) settle(root);
  return roots.sort(byStart);
}

/** What is nested deeper is shown side by side at this depth. */
const DEPTH_MAX = 200;
const RUN_KEY = 'run';
const inTrace = (span: TraceSpan, id: string) => `${span.traceId}:${id}`;
const belongsToRun = (span: TraceSpan) => span.loop !== '' && span.runId !== '';
const runKey = (span: TraceSpan) => JSON.stringify([span.traceId, span.loop, span.runId]);
const agentKey = (span: TraceSpan, path: readonly string[]) =>
  JSON.stringify([span.traceId, span.loop, span.runId, ...path]);
const agentPath = ({ agent, parentAgent }: TraceSpan) => (parentAgent ? [parentAgent, agent] : [agent]);

function keyOf(span: TraceSpan): string {
  if (belongsToRun(span) && span.record === 'run') return runKey(span);
  if (belongsToRun(span) && span.record === 'agent' && span.agent) return agentKey(span, agentPath(span));
  return inTrace(span, span.spanId);
}

function nodeOf(span: TraceSpan, reported: boolean): TreeNode {
  const { spanId, name, startMs, inputTokens, outputTokens, costUsd } = span;
  const kind = span.record || 'span';
  const endMs = startMs + span.durationMs;
  return {
    spanId,
    name,
    kind,
    reported,
    span,
    startMs,
    endMs,
    inputTokens,
    outputTokens,
    costUsd,
    children: [],
  };
}

function merge(node: TreeNode, again: TraceSpan): void {
  node.startMs = Math.min(node.startMs, again.startMs);
  node.endMs = Math.max(node.endMs, again.startMs + again.durationMs);
  node.inputTokens ??= again.inputTokens;
  node.outputTokens ??= again.outputTokens;
  node.costUsd ??= again.costUsd;
  if (node.span.status !== 'Error' && again.status !== 'Unset')
    node.span = {
      ...node.span,
      status: again.status,
      statusMessage: again.statusMessage,
      errorType: again.errorType,
    };
}

/** The span that a run (`path` empty) or agent will have once it ends, as far as others speak of it. */
function missing(from: TraceSpan, path: readonly string[], spans: readonly TraceSpan[]): TraceSpan {
  const agent = path.at(-1) ?? '';
  const parentAgent = path.length > 1 ? path[0]! : '';
  const witness = spans.find((s) => s.agent === agent && s.parentAgent === parentAgent && s.role !== '');
  return {
    ...from,
    spanId: agent ? agentSpanId(from.traceId, path) : runSpanId(from.traceId),
    parentSpanId: '',
    name: agent ? `invoke_agent ${agent}` : `invoke_workflow ${from.loop}`,
    record: agent ? 'agent' : 'run',
    agent,
    parentAgent,
    role: agent ? (witness?.role ?? '') : '',
    status: 'Unset',
    statusMessage: '',
    errorType: '',
    requestModel: '',
    servedModel: '',
    inputTokens: null,
    outputTokens: null,
    costUsd: null,
    verdict: '',
    checker: '',
    effectAccepted: '',
  };
}

/** Whether `node` is `ancestor` or lies below it: spans from strangers may name each other as parents. */
function isWithin(node: TreeNode, ancestor: TreeNode, parents: ReadonlyMap<TreeNode, TreeNode>): boolean {
  for (let at: TreeNode | undefined = node; at; at = parents.get(at)) if (at === ancestor) return true;
  return false;
}

/** Orders children, lets stand-ins span what is below them, and sums tokens and cost upwards. */
function settle(node: TreeNode, depth = 0): void {
  if (depth === DEPTH_MAX) node.children = descendants(node);
  for (const child of node.children) settle(child, depth + 1);
  node.children.sort(byStart);
  if (node.children.length === 0) return;
  if (!node.reported) {
    node.startMs = Math.min(...node.children.map((c) => c.startMs));
    node.endMs = Math.max(...node.children.map((c) => c.endMs));
  }
  if (node.kind === 'call') return;
  node.inputTokens ??= total(node.children.map((c) => c.inputTokens));
  node.outputTokens ??= total(node.children.map((c) => c.outputTokens));
  node.costUsd ??= total(node.children.map((c) => c.costUsd));
}

/** Everything below a node as one flat list; the nodes give up their own children. */
function descendants(node: TreeNode): TreeNode[] {
  const all = [...node.children];
  for (const child of all) all.push(...child.children.splice(0));
  return all;
}

const total = (figures: readonly (number | null)[]): number | null =>
  figures.reduce((sum, figure) => (figure === null ? sum : (sum ?? 0) + figure), null);

/** By start; what began at the same instant in the order in which a run goes. */
const byStart = (a: TreeNode, b: TreeNode) => a.startMs - b.startMs || rank(a) - rank(b);

const KINDS = ['run', 'agent', 'call', 'span', 'verdict', 'effect'];
const rank = ({ kind }: TreeNode) => KINDS.indexOf(kind);
