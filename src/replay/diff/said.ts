import type { Step } from '../recording.ts';
import { type Unit, unitsOf } from './content.ts';

/** What a step did, as texts under names: a model call's answer, a tool's arguments and result, a statement. */
export function saidBy(step: Step): Unit[] {
  const failed = step.error === null ? [] : [{ label: 'error', text: step.error }];
  switch (step.kind) {
    case 'call':
      return [...(step.output?.flatMap(unitsOf) ?? [NOT_RECORDED]), ...failed];
    case 'tool':
      return [
        { label: 'arguments', text: step.arguments ?? NOT_RECORDED.text },
        { label: 'result', text: step.result ?? NOT_RECORDED.text },
        ...failed,
      ];
    case 'verdict':
      return [{ label: 'verdict', text: word(step.pass, 'passed', 'failed') }, ...failed];
    case 'effect':
      return [{ label: 'effect', text: word(step.pass, 'accepted', 'turned down') }, ...failed];
  }
}

const NOT_RECORDED: Unit = { label: '', text: 'not recorded' };

const word = (pass: boolean | null, yes: string, no: string): string =>
  pass === null ? 'nobody said' : pass ? yes : no;

const KINDS: Record<Step['kind'], string> = {
  call: 'model call',
  tool: 'tool',
  verdict: 'verdict',
  effect: 'effect',
};

/** Characters of a name in a title. */
const NAME_MAX = 100;

/** `maker › scout: tool search`: whose step it is, and what. */
export function stepTitle({
  path,
  kind,
  label,
}: {
  path: readonly string[];
  kind: Step['kind'];
  label: string;
}): string {
  const what = [KINDS[kind], clipped(label, NAME_MAX)].filter(Boolean).join(' ');
  const whose = path.map((name) => clipped(name, NAME_MAX)).join(' › ');
  return whose === '' ? what : `${whose}: ${what}`;
}

/** A text of at most so many characters. */
export const clipped = (text: string, charactersMax: number): string =>
  text.length > charactersMax ? `${text.slice(0, charactersMax - 1)}…` : text;
