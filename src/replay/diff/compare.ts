import type { Message, ModelCall, Step, ToolCall } from '../recording.ts';
import type { Contents } from './content.ts';
import type { Difference, Field, Scalar, Weight } from './difference.ts';
import { compareHistories, compareUnits } from './messages.ts';
import { createTold } from './told.ts';
import type { Volatility } from './volatile.ts';

/**
 * What differs between two steps that were paired. Steps are to come in the order of time: what one of them told and
 * comes back later, in a history, as arguments or as a setting, is carried and not told as new.
 */
export interface Comparer {
  /**
   * `from`: where in what two calls were asked begins what the agent's last pair of calls was not asked; `null` for steps
   * that are known to do the same and to have been given the same.
   */
  pair(a: Step, b: Step, from: { a: number; b: number } | null): Difference[];
  /** Remembers what a step says that the other run does not have. */
  alone(step: Step, which: 'a' | 'b'): void;
}

export function createComparer(contents: Contents, volatility: Volatility): Comparer {
  const told = createTold(volatility);
  const all = (messages: readonly Message[]) => messages.flatMap((message) => contents.units(message));
  const known = (field: Field, a: string | null, b: string | null): Difference[] =>
    a === null || b === null
      ? [unknown(field, a !== null, b !== null)]
      : told.both(field, '', a, b, field === 'arguments');

  const settings = (a: ModelCall, b: ModelCall): Difference[] => {
    const agent = JSON.stringify([a.parentAgent, a.agent]);
    const setting = (field: Field, x: Scalar, y: Scalar, at = '') => told.settings(agent, field, at, x, y);
    const where = (field: Field, x: string | null, y: string | null) =>
      x === null || y === null ? [] : setting(field, x, y);
    const parameters = new Set([...Object.keys(a.parameters), ...Object.keys(b.parameters)]);
    return [
      ...setting('provider', a.provider, b.provider),
      ...setting('model', a.model, b.model),
      ...where('served_model', a.servedModel, b.servedModel),
      ...[...parameters].flatMap((name) =>
        setting('parameter', own(a.parameters, name), own(b.parameters, name), name),
      ),
      ...where('prompt_version', a.promptVersion, b.promptVersion),
      ...where('tools_version', a.toolsVersion, b.toolsVersion),
      ...(a.toolDefinitions === b.toolDefinitions
        ? []
        : known('tool_definitions', a.toolDefinitions, b.toolDefinitions)),
    ];
  };
  const calls = (a: ModelCall, b: ModelCall, from: { a: number; b: number } | null): Difference[] => {
    const finish = value('finish_reasons', a.finishReasons.join(', '), b.finishReasons.join(', '));
    if (from === null && a.input && a.output) return [...settings(a, b), ...finish];
    const input =
      a.input && b.input
        ? compareHistories(
            { messages: a.input, from: from?.a ?? 0 },
            { messages: b.input, from: from?.b ?? 0 },
            contents,
            told,
          )
        : [unknown('input', a.input !== null, b.input !== null)];
    const bothFailed = a.error !== null && b.error !== null;
    const output =
      a.output && b.output
        ? compareUnits('output', '', all(a.output), all(b.output), told)
        : bothFailed
          ? []
          : [unknown('output', a.output !== null, b.output !== null)];
    return [...settings(a, b), ...input, ...output, ...finish];
  };
  const tools = (a: ToolCall, b: ToolCall): Difference[] => {
    const bothFailed = a.error !== null && b.error !== null;
    return [
      ...value('call_id', a.callId, b.callId, 'volatile'),
      ...known('arguments', a.arguments, b.arguments),
      ...(bothFailed && a.result === b.result ? [] : known('result', a.result, b.result)),
    ];
  };
  const kinds = (a: Step, b: Step, from: { a: number; b: number } | null): Difference[] => {
    if (a.kind === 'call' && b.kind === 'call') return calls(a, b, from);
    if (a.kind === 'tool' && b.kind === 'tool') return tools(a, b);
    if (a.kind === 'verdict' && b.kind === 'verdict') return value('verdict', a.pass, b.pass);
    if (a.kind === 'effect' && b.kind === 'effect') return value('accepted', a.pass, b.pass);
    throw new Error(`steps of two kinds were paired: ${a.kind} and ${b.kind}`);
  };
  return {
    pair: (a, b, from) => [...kinds(a, b, from), ...value('error', a.error, b.error)],
    alone: (step, which) => {
      if (step.kind === 'call') compareUnits('output', '', ...sided(all(step.output ?? []), which), told);
      if (step.kind === 'tool' && step.result !== null) told.only('result', '', step.result, which);
    },
  };
}

/** A list as one side of a comparison with nothing. */
const sided = <T>(list: readonly T[], which: 'a' | 'b'): [readonly T[], readonly T[]] =>
  which === 'a' ? [list, []] : [[], list];

export const value = (field: Field, a: Scalar, b: Scalar, weight: Weight = 'counts'): Difference[] =>
  a === b ? [] : [{ field, at: '', weight, change: { kind: 'value', a, b } }];

/** One of the two, or both, were not recorded. */
const unknown = (field: Field, inA: boolean, inB: boolean): Difference => {
  const word = (isRecorded: boolean) => (isRecorded ? 'recorded' : null);
  return { field, at: '', weight: 'unknown', change: { kind: 'value', a: word(inA), b: word(inB) } };
};

const own = (parameters: ModelCall['parameters'], name: string): Scalar =>
  Object.hasOwn(parameters, name) ? parameters[name]! : null;
