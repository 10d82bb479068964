import type { ModelCall, Recording, Step } from '../recording.ts';
import { align } from './align.ts';
import { type Contents, type Level, type NumberedStep, sharedHistory } from './content.ts';
import { nearPairs } from './near.ts';

/**
 * Pairs the steps of two runs: agents by their path, then the steps of an agent in the order they were made. Pairs rise
 * on both sides within an agent. Steps that do the same come first; what lies between them is paired by how near it is.
 */
export interface AgentSteps {
  path: readonly string[];
  a: readonly NumberedStep[];
  b: readonly NumberedStep[];
  pairs: readonly StepPair[];
}

export interface StepPair {
  /** Places in the agent's steps. */
  a: number;
  b: number;
  /** Whether they do the same and were given the same, to the last character. */
  isExact: boolean;
}

export function pairAgents(a: Recording, b: Recording, contents: Contents): AgentSteps[] {
  const inA = stepsByAgent(a, contents);
  const inB = stepsByAgent(b, contents);
  const room = { cells: CELLS_MAX };
  return [...new Set([...inA.keys(), ...inB.keys()])].map((agent) => {
    const ours = inA.get(agent) ?? [];
    const theirs = inB.get(agent) ?? [];
    return {
      path: JSON.parse(agent) as string[],
      a: ours,
      b: theirs,
      pairs: pairSteps(ours, theirs, contents, room),
    };
  });
}

/** Comparisons of two steps for how near they are, over a whole diff. Beyond, steps between equal ones are paired in order. */
const CELLS_MAX = 100_000;

/** Agents from the root down. */
export const pathOf = ({ agent, parentAgent }: Step): string[] =>
  [parentAgent, agent].filter((name) => name !== '');

function stepsByAgent(recording: Recording, contents: Contents): Map<string, NumberedStep[]> {
  const byAgent = new Map<string, NumberedStep[]>();
  const lastCalls = new Map<string, ModelCall>();
  recording.steps.forEach((step, index) => {
    const agent = JSON.stringify(pathOf(step));
    const steps = byAgent.get(agent) ?? [];
    byAgent.set(agent, steps);
    if (step.kind === 'call') {
      const before = lastCalls.get(agent);
      const since = sharedHistory(contents, before, step);
      lastCalls.set(agent, step);
      steps.push({ index, step, since, isRewritten: since < (before?.input?.length ?? 0) });
    } else steps.push({ index, step, since: 0, isRewritten: false });
  });
  return byAgent;
}

/** Steps that are the same in everything first; between those, the ones that do the same; between those, near ones. */
const LEVELS: readonly Level[] = ['all', 'deed'];

function pairSteps(
  a: readonly NumberedStep[],
  b: readonly NumberedStep[],
  contents: Contents,
  room: { cells: number },
  [level, ...further]: readonly Level[] = LEVELS,
): StepPair[] {
  if (a.length === 0 || b.length === 0) return [];
  if (level === undefined)
    return nearPairs(a, b, contents, room).map(([x, y]) => ({ a: x, b: y, isExact: false }));
  const pairs: StepPair[] = [];
  let i = 0;
  let j = 0;
  const between = (aTo: number, bTo: number) => {
    const inner = pairSteps(a.slice(i, aTo), b.slice(j, bTo), contents, room, further);
    for (const pair of inner) pairs.push({ ...pair, a: i + pair.a, b: j + pair.b });
  };
  const keys = stepKeys(a, b, contents, level);
  for (const [x, y] of align(keys.a.numbers, keys.b.numbers)) {
    between(x, y);
    pairs.push({ a: x, b: y, isExact: level === 'all' && keys.a.exact[x] === keys.b.exact[y] });
    i = x + 1;
    j = y + 1;
  }
  between(a.length, b.length);
  return pairs;
}

interface StepKeys {
  /** Equal for equal steps; only what the other run has not exactly is looked at loosely. */
  numbers: Int32Array;
  exact: readonly string[];
}

function stepKeys(
  a: readonly NumberedStep[],
  b: readonly NumberedStep[],
  contents: Contents,
  level: Level,
): { a: StepKeys; b: StepKeys } {
  const exact = (steps: readonly NumberedStep[]) => steps.map((step) => contents.exactKey(step, level));
  const [ours, theirs] = [exact(a), exact(b)];
  const numbers = new Map<string, number>();
  const keys = (
    steps: readonly NumberedStep[],
    own: readonly string[],
    others: ReadonlySet<string>,
  ): StepKeys => ({
    exact: own,
    numbers: Int32Array.from(steps, (step, i) => {
      const key = others.has(own[i]!) ? own[i]! : `loose ${contents.looseKey(step, level)}`;
      const number = numbers.get(key) ?? numbers.size;
      numbers.set(key, number);
      return number;
    }),
  });
  return { a: keys(a, ours, new Set(theirs)), b: keys(b, theirs, new Set(ours)) };
}
