import type { Recording } from '../recording.ts';
import { textOf } from './message-parts.ts';

/**
 * Uses of tools that were a sub-agent at work: what such a tool gave is what the sub-agent answered, word for word. The
 * sub-agent is played itself, so that nothing is left to carry out.
 */
const ANSWER_CHARS_MIN = 12;

/** Places in `steps` of those uses. */
export function delegations({ steps }: Recording): ReadonlySet<number> {
  const answers = steps.flatMap((step) =>
    step.kind === 'call' && step.parentAgent !== ''
      ? [{ parent: step.parentAgent, text: textOf(step.output ?? []) }]
      : [],
  );
  const found = new Set<number>();
  steps.forEach((step, index) => {
    if (step.kind !== 'tool' || step.result === null) return;
    const { agent, result } = step;
    const isAnswer = ({ parent, text }: (typeof answers)[number]) =>
      parent === agent && text.length >= ANSWER_CHARS_MIN && result.includes(text);
    if (answers.some(isAnswer)) found.add(index);
  });
  return found;
}
