import { createContext, Script } from 'node:vm';
import type { Scorer } from './scorer.ts';
import { plain } from './text.ts';

const MATCH_MS_MAX = 1_000;
const MATCH = new Script('pattern.exec(answer)');

/**
 * Right when a capture group of the first match reads as what was expected; no match is wrong.
 *
 * Some patterns take exponential time on some answers, and answers come from models. A match runs under a time
 * limit, so that one answer cannot stop all scoring.
 */
export function regex({
  regex: source,
  flags,
  group,
}: {
  regex: string;
  flags: string;
  group: number;
}): Scorer {
  const pattern = new RegExp(source, flags.replace(/[gy]/g, ''));
  const context = createContext({ pattern, answer: '' });
  return (output, expected) => {
    context['answer'] = output;
    let match: RegExpExecArray | null;
    try {
      match = MATCH.runInContext(context, { timeout: MATCH_MS_MAX }) as RegExpExecArray | null;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
      throw new Error(`the pattern did not finish within ${MATCH_MS_MAX} ms on this answer; make it simpler`);
    }
    const captured = match?.[group];
    return captured !== undefined && plain(captured) === plain(expected) ? 1 : 0;
  };
}
