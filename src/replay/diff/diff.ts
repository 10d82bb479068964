import type { Rule } from '../play/normalise.ts';
import type { Recording, Step } from '../recording.ts';
import { type AgentSteps, pairAgents } from './agents.ts';
import { createComparer, value } from './compare.ts';
import { createContents } from './content.ts';
import { ACTIONS, type Difference, type Outcome, type RunDiff, type StepDiff } from './difference.ts';
import { createVolatility } from './volatile.ts';

export interface DiffOptions {
  /** Rules for volatile values besides the built-in ones. */
  rules?: readonly Rule[] | undefined;
  /** Whether differences of volatile values count too. */
  all?: boolean | undefined;
}

/**
 * Holds run `b` against run `a`: their agents side by side, the steps of an agent aligned, and what differs in each step.
 * Pure, and bounded by the size of the runs.
 */
export function diffRecordings(
  a: Recording,
  b: Recording,
  { rules, all = false }: DiffOptions = {},
): RunDiff {
  const volatility = createVolatility(a, b, rules);
  const contents = createContents(volatility);
  const comparer = createComparer(contents, volatility);
  const steps = inOrderOfTime(pairAgents(a, b, contents)).map(({ path, a: x, b: y, from }): StepDiff => {
    const step = (x ?? y)!.step;
    const both = x !== undefined && y !== undefined;
    if (!both) comparer.alone(step, x ? 'a' : 'b');
    const differences = both ? weighed(comparer.pair(x.step, y.step, from), all) : [];
    return {
      outcome: both ? outcomeOf(differences) : x ? 'only_a' : 'only_b',
      aIndex: x?.index ?? null,
      bIndex: y?.index ?? null,
      path,
      kind: step.kind,
      label: labelOf(step),
      differences,
    };
  });
  const first = (differs: (step: StepDiff) => boolean) => {
    const place = steps.findIndex(differs);
    return place === -1 ? null : place;
  };
  const counts: Record<Outcome, number> = {
    same: 0,
    volatile: 0,
    carried: 0,
    unknown: 0,
    changed: 0,
    only_a: 0,
    only_b: 0,
  };
  for (const { outcome } of steps) counts[outcome]++;
  return {
    a,
    b,
    run: ofTheRun(a, b),
    steps,
    firstDivergence: first(isDivergence),
    firstAction: first((step) => isDivergence(step) && isAction(step)),
    counts,
  };
}

/** Whether nothing that counts differs, as far as it was recorded. */
export const areAlike = ({ run, firstDivergence }: RunDiff): boolean =>
  firstDivergence === null && run.every(({ weight }) => weight !== 'counts');

export const isDivergence = ({ outcome }: StepDiff): boolean =>
  outcome === 'changed' || outcome === 'only_a' || outcome === 'only_b';

const isAction = ({ outcome, differences }: StepDiff): boolean =>
  outcome !== 'changed' || differences.some(({ field, weight }) => weight === 'counts' && ACTIONS.has(field));

const weighed = (differences: Difference[], all: boolean): Difference[] =>
  all ? differences.map((d) => (d.weight === 'volatile' ? { ...d, weight: 'counts' } : d)) : differences;

function outcomeOf(differences: readonly Difference[]): Outcome {
  const has = (weight: Difference['weight']) =>
    differences.some((difference) => difference.weight === weight);
  if (has('counts')) return 'changed';
  if (has('carried')) return 'carried';
  if (has('unknown')) return 'unknown';
  return differences.length > 0 ? 'volatile' : 'same';
}

/** The model asked, the tool, or the name of the checker or effect. */
export const labelOf = (step: Step): string =>
  step.kind === 'call' ? step.model : step.kind === 'tool' ? step.tool : step.name;

/** What is not known of one of them is not held against it. */
function ofTheRun(a: Recording, b: Recording): Difference[] {
  return [
    ...value('state', a.state, b.state),
    ...(a.verdict && b.verdict ? value('verdict', a.verdict.pass, b.verdict.pass) : []),
    ...(a.goldenScore !== null && b.goldenScore !== null
      ? value('golden_score', a.goldenScore, b.goldenScore)
      : []),
    ...(a.versions.checker !== null && b.versions.checker !== null
      ? value('checker_version', a.versions.checker, b.versions.checker)
      : []),
  ];
}

type From = { a: number; b: number };

interface Row {
  path: readonly string[];
  a: AgentSteps['a'][number] | undefined;
  b: AgentSteps['b'][number] | undefined;
  /** Where what two calls were asked begins to be new since the last pair of calls; `null` where it is the same. */
  from: From | null;
}

/** All steps of all agents in a's order; those that only b has come after what they followed in b. */
function inOrderOfTime(agents: readonly AgentSteps[]): Row[] {
  const rows = agents.flatMap(rowsOf);
  const after = new Map<Row, number>();
  let last = -1;
  for (const row of rows.filter(({ b }) => b).sort((x, y) => x.b!.index - y.b!.index)) {
    if (row.a) last = Math.max(last, row.a.index);
    else after.set(row, last);
  }
  const place = (row: Row) => row.a?.index ?? after.get(row)!;
  const inB = (row: Row) => (row.a ? -1 : row.b!.index);
  return rows.sort((x, y) => place(x) - place(y) || inB(x) - inB(y));
}

function rowsOf({ path, a, b, pairs }: AgentSteps): Row[] {
  const rows: Row[] = [];
  let i = 0;
  let j = 0;
  const sinceA = createSince();
  const sinceB = createSince();
  const upTo = (aTo: number, bTo: number) => {
    for (; i < aTo; i++) rows.push({ path, a: sinceA.pass(a[i]!), b: undefined, from: null });
    for (; j < bTo; j++) rows.push({ path, a: undefined, b: sinceB.pass(b[j]!), from: null });
  };
  for (const pair of pairs) {
    upTo(pair.a, pair.b);
    const [ours, theirs] = [sinceA.pass(a[i++]!), sinceB.pass(b[j++]!)];
    const from = ours.step.kind === 'call' ? newSince(sinceA.take(), sinceB.take()) : NOWHERE;
    rows.push({ path, a: ours, b: theirs, from: pair.isExact ? null : from });
  }
  upTo(a.length, b.length);
  return rows;
}

const NOWHERE: From = { a: 0, b: 0 };

/** A history that was rewritten in one of them can only be held against the other as a whole. */
const newSince = (a: number | null, b: number | null): From =>
  a === null || b === null ? NOWHERE : { a, b };

/** Where the history begins to be new since the last pair of calls, over the calls between that have no counterpart. */
function createSince() {
  let since = Number.POSITIVE_INFINITY;
  let isRewritten = false;
  return {
    pass: <T extends AgentSteps['a'][number]>(step: T): T => {
      if (step.step.kind === 'call') {
        since = Math.min(since, step.since);
        isRewritten ||= step.isRewritten;
      }
      return step;
    },
    /** `null` where the history was rewritten. */
    take: (): number | null => {
      const taken = isRewritten ? null : since;
      since = Number.POSITIVE_INFINITY;
      isRewritten = false;
      return taken;
    },
  };
}
