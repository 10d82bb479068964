import type { ScorerDefinition } from '../../evals/suite.ts';
import type { VerdictRule } from '../../src/registry/loop.ts';
import type { Draw } from './draw.ts';

/** What makes a loop of the fleet: everything but the drawing of lots. */
export interface LoopPlan {
  loop: string;
  owner: string;
  description: string;
  story: string;
  /** When it wakes up, and how far apart its runs are in the records. */
  schedule: string;
  everyHours: number;
  owns: string[];
  reads: string[];
  /** How many runs, and the run at which the second phase begins where there is one. */
  size(draw: Draw): { runs: number; turn?: number };
  /** What holds from the start, and from the turn on. */
  phases: [Phase] | [Phase, Phase];
  /** What a run works on, such as `PR #4211`: unlike any other run's. */
  reference(index: number): string;
  /** `input`: every run has a task and a golden item of its own. `item`: runs draw from so many cases. */
  golden: { matchedBy: 'input' } | { matchedBy: 'item'; cases: number };
  task(draw: Draw, reference: string): Task;
  scorer: ScorerDefinition;
  maker: ModelPlan & { stream: boolean };
  subs: SubPlan[];
  checker: CheckerPlan;
  effect: { name: string; share: number; accepted: { right: number; wrong: number } };
}

export interface Phase {
  /** Probability that the maker's answer is right. */
  accuracy: number;
  /** Model that answers the maker. */
  served: string;
  system: string;
}

export interface ModelPlan {
  agent: string;
  protocol: 'openai' | 'anthropic';
  /** As asked for. */
  model: string;
}

export interface SubPlan extends ModelPlan {
  served: string;
  /** Share of the runs in which the maker delegates to it. */
  share: number;
  ask(task: Task): string;
  answer(task: Task, draw: Draw): string;
}

/** A checker is a model whose answer holds the verdict, or a program whose verdict the loop posts. */
export type CheckerPlan = CheckerPasses &
  ((ModelPlan & { kind: 'model'; served: string; says: CheckerSays }) | { kind: 'posted'; agent: string });

/** Probability that it passes an answer. */
interface CheckerPasses {
  passes: { right: number; wrong: number };
}

export interface CheckerSays {
  rule: VerdictRule;
  /** How it is asked to answer, and how it does. */
  instruction: string;
  pass: [string, ...string[]];
  fail: [string, ...string[]];
}

export interface Task {
  /** What it is about in a few words. */
  subject: string;
  input: string;
  expected: string;
  /** Answers that are right by the loop's scorer, and ones that are wrong. */
  right: [string, ...string[]];
  wrong: [string, ...string[]];
}

/** The usual way to ask a checker. */
export const JSON_VERDICT: CheckerSays = {
  rule: { json: '$.pass' },
  instruction: 'Answer with JSON: {"pass": true or false, "why": "one sentence"}.',
  pass: [
    '{"pass":true,"why":"The answer is well formed and addresses the task."}',
    '{"pass":true,"why":"Clear, complete and in the format asked for."}',
    '{"pass": true, "why": "Nothing to object to."}',
  ],
  fail: [
    '{"pass":false,"why":"The answer does not say what it is based on."}',
    '{"pass":false,"why":"I would want a second look at this one."}',
  ],
};

/** A checker that answers in words. */
export const WORD_VERDICT: CheckerSays = {
  rule: { regex: '^APPROVE' },
  instruction: 'Begin your answer with APPROVE or REJECT.',
  pass: ['APPROVE. The change is small and does what it says.', 'APPROVE'],
  fail: ['REJECT. The target looks unrelated to the text around it.', 'REJECT: not convinced.'],
};

/** The other options, as a list that is never empty. */
export function others<T>(options: readonly T[], but: T): [T, ...T[]] {
  const [first, ...rest] = options.filter((option) => option !== but);
  if (first === undefined) throw new Error('a task needs at least two options');
  return [first, ...rest];
}
