import { jsonText, resultText } from '../play/message-parts.ts';
import type { Message, ModelCall, Part, Step } from '../recording.ts';
import { canonical, parseDocument } from './json.ts';
import type { Volatility } from './volatile.ts';

/**
 * What steps say, numbered: what is equal has one number in both runs, so that a history which is sent again with every
 * call is looked at once. Ids by which a model and an agent speak of a tool's use are no part of it.
 */
export interface Contents {
  /** The parts of a message as texts. */
  units(message: Message): readonly Unit[];
  /** The number of a message; equal for equal role and parts. */
  id(message: Message): number;
  /** Of a step; equal where steps of an agent do the same, and at the level `all` of the same that they were given. */
  exactKey(step: NumberedStep, level: Level): string;
  /** The same, where volatile values and the way JSON is written do not matter. */
  looseKey(step: NumberedStep, level: Level): string;
}

export type Level = 'all' | 'deed';

interface Read {
  message(message: Message): number | string;
  text(text: string): string;
}

export interface NumberedStep {
  /** Its place in the run's steps. */
  index: number;
  step: Step;
  /** Of a model call: where in what it was asked begins what the agent's call before was not asked. */
  since: number;
  /** Of a model call: whether the history of the call before is not all there any more. */
  isRewritten: boolean;
}

/** A part of a message: what it is, and what it says. */
export interface Unit {
  /** text, reasoning, result, `tool_call NAME`, or the type of another part */
  label: string;
  text: string;
}

export function createContents(volatility: Volatility): Contents {
  const byMessage = new WeakMap<Message, readonly Unit[]>();
  const ids = new WeakMap<Message, number>();
  const byKey = new Map<string, number>();
  const looseById = new Map<number, string>();
  const units = (message: Message) => {
    let known = byMessage.get(message);
    if (!known) {
      known = unitsOf(message);
      byMessage.set(message, known);
    }
    return known;
  };
  const id = (message: Message) => {
    const known = ids.get(message);
    if (known !== undefined) return known;
    const key = keyOf(message.role, units(message));
    const number = byKey.get(key) ?? byKey.size;
    byKey.set(key, number);
    ids.set(message, number);
    return number;
  };
  const looseTexts = new Map<string, string>();
  const loosened = (text: string) => {
    let loose = looseTexts.get(text);
    if (loose === undefined) {
      const document = parseDocument(text);
      loose = volatility.loosened(document === undefined ? text : canonical(document));
      looseTexts.set(text, loose);
    }
    return loose;
  };
  const looseId = (message: Message) => {
    const number = id(message);
    let loose = looseById.get(number);
    if (loose === undefined) {
      loose = keyOf(
        message.role,
        units(message).map(({ label, text }) => ({ label, text: loosened(text) })),
      );
      looseById.set(number, loose);
    }
    return loose;
  };
  const key = ({ step, since, isRewritten }: NumberedStep, level: Level, of: Read): string => {
    const text = (content: string | null) => (content === null ? null : of.text(content));
    switch (step.kind) {
      case 'call': {
        const answered = step.output?.map(of.message) ?? [''];
        // That earlier messages are gone is something it was given, too.
        const asked = () => [isRewritten ? since : '', ...(step.input?.slice(since).map(of.message) ?? [''])];
        return listed(['call', step.error, ...answered, ...(level === 'all' ? ['<', ...asked()] : [])]);
      }
      case 'tool':
        return listed([
          'tool',
          step.tool,
          text(step.arguments),
          ...(level === 'all' ? [step.error, text(step.result)] : []),
        ]);
      default:
        return listed([step.kind, step.name, ...(level === 'all' ? [step.pass] : [])]);
    }
  };
  return {
    units,
    id,
    exactKey: (step, level) => key(step, level, { message: id, text: (text) => text }),
    looseKey: (step, level) => key(step, level, { message: looseId, text: loosened }),
  };
}

/** Texts as one, so that no two lists give the same. */
function listed(items: readonly unknown[]): string {
  let text = '';
  for (const item of items) {
    const part = String(item);
    text += `${part.length}:${part},`;
  }
  return text;
}

const keyOf = (role: string, units: readonly Unit[]): string =>
  listed([role, ...units.flatMap(({ label, text }) => [label, text])]);

/** The parts of a message as texts. */
export const unitsOf = ({ parts }: Message): Unit[] => parts.map(unitOf);

function unitOf(part: Part): Unit {
  const { type, id: _, ...rest } = part;
  if ((type === 'text' || type === 'reasoning') && typeof part['content'] === 'string')
    return { label: type, text: part['content'] };
  if (type === 'tool_call')
    return { label: `tool_call ${String(part['name'])}`, text: jsonText(part['arguments']) };
  if (type === 'tool_call_response') return { label: 'result', text: resultText(part['response']) };
  return { label: String(type), text: canonical(rest) };
}

/** How many messages at the beginning of what `call` was asked the call before it was asked already. */
export function sharedHistory(contents: Contents, before: ModelCall | undefined, call: ModelCall): number {
  const earlier = before?.input ?? [];
  const later = call.input ?? [];
  let shared = 0;
  while (shared < earlier.length && shared < later.length) {
    const x = earlier[shared]!;
    const y = later[shared]!;
    if (x !== y && contents.id(x) !== contents.id(y)) break;
    shared++;
  }
  return shared;
}
