import type { SuiteDefinition } from '../evals/suite.ts';
import type { RunRecord } from '../src/records/record.ts';
import type { AgentRole, LoopDefinition } from '../src/registry/loop.ts';

/** A fleet as a play: who calls what in which run, what is answered, and what is true about it. */
export interface Fleet {
  loops: FleetLoop[];
  truth: Truth;
}

/** What happens to the one loop that fails silently. */
export interface Truth {
  loop: 'dependency-bump';
  /** Number of runs before the change. */
  change_at_run: number;
  /** Served models on either side of it. */
  from: string;
  to: string;
}

export interface FleetLoop {
  definition: LoopDefinition;
  suite: SuiteDefinition;
  dataset: string;
  golden: GoldenItem[];
  /** How a run names its golden item: by `x-loop-item`, or by what its maker is asked. */
  matchedBy: 'item' | 'input';
  runs: FleetRun[];
  /** What the loop goes through, in a line. */
  story: string;
}

export interface GoldenItem {
  id: string;
  input: string;
  expected: string;
}

export interface FleetRun {
  run: string;
  /** Id of its golden item. */
  item: string;
  calls: FleetCall[];
  /** Said by the loop itself, where no checker's answer says it. */
  verdict?: { pass: boolean; checker: string };
  effects: FleetEffect[];
}

export interface FleetEffect {
  name: string;
  accepted?: boolean;
}

export interface FleetCall {
  agent: string;
  parentAgent?: string;
  role: AgentRole;
  protocol: 'openai' | 'anthropic';
  model: string;
  stream: boolean;
  system?: string;
  /** User text. `{{answer:AGENT}}` stands for what that agent answered in this run. */
  input: string;
  /** What the provider answers; its `input` has the answers filled in. */
  record: RunRecord;
}

/** Where an agent's answer goes in the input of a later call. */
export const answerOf = (agent: string) => `{{answer:${agent}}}`;

/** Puts answers, by agent, where they go. Throws when an agent has not answered. */
export function fillIn(input: string, answers: ReadonlyMap<string, string>): string {
  return input.replace(/\{\{answer:([^}]+)\}\}/g, (_, agent: string) => {
    const answer = answers.get(agent);
    if (answer === undefined) throw new Error(`an input quotes ${agent}, which has not answered in this run`);
    return answer;
  });
}

/** All that the recorded provider answers, in the order in which it is asked. */
export const providerRecords = (fleet: Pick<Fleet, 'loops'>): RunRecord[] =>
  fleet.loops.flatMap((loop) => loop.runs.flatMap((run) => run.calls.map((call) => call.record)));

/** A loop's runs as run records, one a run: what its maker did, the verdict, and what was expected. */
export function runRecords(loop: FleetLoop): RunRecord[] {
  const expected = new Map(loop.golden.map((item) => [item.id, item.expected]));
  return loop.runs.map((run) => {
    const made = run.calls.findLast((call) => call.role === 'maker')!.record;
    const checker = verdictOf(run);
    return {
      ...made,
      ...(checker && { checker }),
      item: run.item,
      golden: { expected: expected.get(run.item)! },
      effects: run.effects.map((effect) => effect.name),
    };
  });
}

/** The verdict on a run: what the loop says of it, or what its checker's record says. */
function verdictOf(run: FleetRun): RunRecord['checker'] {
  if (run.verdict) return { name: run.verdict.checker, version: '', pass: run.verdict.pass };
  return run.calls.findLast((call) => call.role === 'checker')?.record.checker;
}
