import type { NewItem } from '../../evals/golden.ts';
import { inputShape } from '../records/input-shape.ts';
import { count } from './format.ts';
import type { Candidate } from './golden-candidates.ts';
import { answerOf, readLine } from './label-keys.ts';
import { screen } from './label-screen.ts';
import type { Output } from './output.ts';

/**
 * A session at a terminal in which a person says of run after run what the right answer is. An answer counts as right
 * because somebody said so, and never for being there. What was said stands until the session ends, and can be undone.
 */
export interface GoldenSession {
  out: Output;
  keys: AsyncIterator<string, void>;
  candidates: readonly Candidate[];
  tags: (candidate: Candidate) => string[];
}

const HELP = 'y the answer is right · e type the right answer · s skip · u undo · q done';
/** The end of a line that is written: a line of a terminal that wraps cannot be taken back. */
const LINE_SHOWN = 60;

/** The items that were agreed on, in the order of the candidates. */
export async function goldenSession({ out, keys, candidates, tags }: GoldenSession): Promise<NewItem[]> {
  const said: (NewItem | undefined)[] = [];
  while (said.length < candidates.length) {
    const candidate = candidates[said.length]!;
    const entry = {
      loop: candidate.run.loop,
      run_id: candidate.run.runId,
      probability: 1,
      asked_at: 0,
      raters: [],
    };
    const shown = { entry, run: candidate.run, n: said.length + 1, of: candidates.length, showVerdict: true };
    for (const line of screen(shown, out.paint)) out.line(line);
    const choice = await choose({ out, keys }, candidate);
    if (choice.kind === 'quit') break;
    if (choice.kind === 'undo') {
      if (said.length === 0) out.note('There is nothing to undo.');
      else said.pop();
      continue;
    }
    said.push(
      choice.kind === 'right'
        ? { ...itemOf(candidate, tags(candidate)), expected: choice.expected }
        : undefined,
    );
  }
  out.progress('');
  return said.filter((item) => item !== undefined);
}

type Choice = { kind: 'right'; expected: string } | { kind: 'skip' | 'undo' | 'quit' };

async function choose(
  { out, keys }: Pick<GoldenSession, 'out' | 'keys'>,
  { output }: Candidate,
): Promise<Choice> {
  for (;;) {
    out.progress(HELP);
    const { value } = await keys.next();
    if (value === 'e') {
      const line = await readLine(keys, (text) => out.progress(`right answer: ${text.slice(-LINE_SHOWN)}`));
      if (line !== undefined && line.trim() !== '') return { kind: 'right', expected: line };
      continue;
    }
    if (value === 'y') {
      if (output !== '') return { kind: 'right', expected: output };
      out.note('Its answer was not kept: type the right one with e.');
      continue;
    }
    const { kind } = answerOf(value ?? undefined);
    if (kind === 'skip' || kind === 'undo' || kind === 'quit') return { kind };
  }
}

/** An item as far as the run knows it. */
export const itemOf = ({ input, itemId }: Candidate, tags: string[]): Omit<NewItem, 'expected'> => ({
  input,
  tags,
  ...(itemId !== null && { id: itemId }),
});

/**
 * Where an item came from. The first tag is what kind of task it is: the one that an item without tags would get, so that
 * new items are no other tasks to the detector.
 */
export const originTags = ({ run, input }: Candidate, alert: string | undefined): string[] => [
  inputShape(input),
  'from-runs',
  `loop:${run.loop}`,
  `run:${run.runId}`,
  ...(alert === undefined ? [] : [`alert:${alert}`]),
];

/** How a session ended, in words. */
export const sessionText = (dataset: string, agreed: number, of: number): string =>
  `${count(agreed)} of ${count(of)} runs become items of ${dataset}`;
