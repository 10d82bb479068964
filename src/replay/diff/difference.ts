/** What `diff` finds: two runs beside each other, step by step, and what differs in each. */
import type { Recording, Step } from '../recording.ts';

/** Of two runs, `a` is the one they are held against and `b` the other. */
export interface RunDiff {
  a: Recording;
  b: Recording;
  /** Of the run as a whole: how it ended, its verdict, its golden score. */
  run: Difference[];
  /** Every step of both, in the order of time. */
  steps: StepDiff[];
  /** The first place in `steps` where they differ; `null` where they are alike. */
  firstDivergence: number | null;
  /** The first place where an agent did something else, not only was asked or given something else. */
  firstAction: number | null;
  counts: Record<Outcome, number>;
}

/**
 * `changed`: something differs that counts. `carried`: all that differs is what an earlier step has told already, such
 * as a tool's result that came into the history. `volatile`: only ids and times. `unknown`: nothing that was recorded
 * differs, but not everything was.
 */
export type Outcome = 'same' | 'volatile' | 'carried' | 'unknown' | 'changed' | 'only_a' | 'only_b';

export interface StepDiff {
  outcome: Outcome;
  /** Places in the runs' own `steps`; `null` where the run has no such step. */
  aIndex: number | null;
  bIndex: number | null;
  /** Agents from the root down. */
  path: readonly string[];
  kind: Step['kind'];
  /** The model asked, the tool, or the name of the checker or effect. */
  label: string;
  differences: Difference[];
}

export const FIELDS = [
  'model',
  'served_model',
  'provider',
  'api',
  'stream',
  'parameter',
  'prompt_version',
  'tools_version',
  'checker_version',
  'tool_definitions',
  'input',
  'output',
  'finish_reasons',
  'arguments',
  'result',
  'call_id',
  'error',
  'verdict',
  'accepted',
  'golden_score',
  'state',
] as const;
export type Field = (typeof FIELDS)[number];

/** What an agent did, as against what it was set up with, asked or given. */
export const ACTIONS: ReadonlySet<Field> = new Set<Field>([
  'output',
  'finish_reasons',
  'arguments',
  'error',
  'verdict',
  'accepted',
]);

/** `unknown`: one of the two was not recorded, so that nobody can tell. */
export type Weight = 'counts' | 'volatile' | 'carried' | 'unknown';

export interface Difference {
  field: Field;
  /** Which of several: a parameter's name, a message's place, role and part. `''` where there is one. */
  at: string;
  weight: Weight;
  change: Change;
}

export type Scalar = string | number | boolean | null;

export type Change =
  | { kind: 'value'; a: Scalar; b: Scalar }
  | { kind: 'text'; pieces: Piece[] }
  | { kind: 'json'; entries: JsonChange[]; more: number };

/** A stretch of text that both have (`=`), that only a (`-`) or only b (`+`) has, or a volatile value of each (`~`). */
export type Piece = ['=', string] | ['-', string] | ['+', string] | ['~', string, string];

/** A place in a JSON document where they differ. Places in arrays are a's, those of what was added b's. */
export interface JsonChange {
  path: readonly (string | number)[];
  op: 'changed' | 'removed' | 'added';
  volatile: boolean;
  a?: unknown;
  b?: unknown;
  /** Word by word, where both are texts. */
  pieces?: Piece[];
}

/** The text that the pieces have on one side. */
export function side(pieces: readonly Piece[], which: 'a' | 'b'): string {
  const skipped = which === 'a' ? '+' : '-';
  let text = '';
  for (const piece of pieces) {
    if (piece[0] === skipped) continue;
    text += piece[0] === '~' && which === 'b' ? piece[2] : piece[1];
  }
  return text;
}
