import type { Message, ModelCall, Recording, Step, ToolCall } from '../recording.ts';
import { Gaps } from './gaps.ts';
import { Redactor, type Rule, SECRET_NAMES } from './secrets.ts';

/**
 * Recordings without secrets. How a run went stays as it is: which agents, models and tools, in which order, with which
 * names, ids, counts, times and values that are no text. In what was said, and in what tools were given and gave, secrets
 * are replaced, see `secrets.ts`; each step that had one says so as a gap.
 */
export function redactRecordings(
  recordings: readonly Recording[],
  rules: readonly Rule[] = [],
): { recordings: Recording[]; counts: ReadonlyMap<string, number> } {
  const redactor = new Redactor(rules);
  const one = new RecordingRedactor(redactor);
  return { recordings: recordings.map((recording) => one.redact(recording)), counts: redactor.counts };
}

class RecordingRedactor {
  readonly #redactor: Redactor;
  /** Histories share their messages: each is looked at once, and what was one message stays one. */
  readonly #messages = new Map<Message, Message>();
  readonly #texts = new Map<string, string>();

  constructor(redactor: Redactor) {
    this.#redactor = redactor;
  }

  redact(recording: Recording): Recording {
    const gaps = new Gaps();
    const places = new Map<Step, Step>();
    const steps = recording.steps.map((step): Step => {
      const redacted =
        step.kind === 'call' ? this.#call(step, gaps) : step.kind === 'tool' ? this.#tool(step, gaps) : step;
      places.set(step, redacted);
      return redacted;
    });
    for (const { what, why, steps: concerned } of recording.gaps) {
      if (concerned.length === 0) gaps.add(what, why);
      for (const place of concerned) gaps.add(what, why, steps[place]);
    }
    return { ...recording, steps, gaps: gaps.list(steps) };
  }

  #call(call: ModelCall, gaps: Gaps): ModelCall {
    const input = call.input && this.#all(call.input);
    const output = call.output && this.#all(call.output);
    const toolDefinitions = call.toolDefinitions === null ? null : this.#text(call.toolDefinitions);
    const redacted = { ...call, input, output, toolDefinitions };
    if (differs(call.input, input)) gaps.add('input', 'redacted', redacted);
    if (differs(call.output, output)) gaps.add('output', 'redacted', redacted);
    if (toolDefinitions !== call.toolDefinitions) gaps.add('tool_definitions', 'redacted', redacted);
    return redacted;
  }

  #tool(tool: ToolCall, gaps: Gaps): ToolCall {
    const given = tool.arguments === null ? null : this.#text(tool.arguments);
    const result = tool.result === null ? null : this.#text(tool.result);
    const redacted = { ...tool, arguments: given, result };
    if (given !== tool.arguments) gaps.add('tool_arguments', 'redacted', redacted);
    if (result !== tool.result) gaps.add('tool_result', 'redacted', redacted);
    return redacted;
  }

  #all(messages: readonly Message[]): Message[] {
    return messages.map((message) => {
      let redacted = this.#messages.get(message);
      if (!redacted) {
        const parts = message.parts.map((part) => this.#value(part, 0) as Message['parts'][number]);
        const isSame = parts.every((part, i) => part === message.parts[i]);
        redacted = isSame ? message : { ...message, parts };
        this.#messages.set(message, redacted);
      }
      return redacted;
    });
  }

  /** The value itself where there is nothing to replace in it. */
  #value(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return this.#text(value);
    if (typeof value !== 'object' || value === null) return value;
    // What nobody can look into is not given away.
    if (depth > DEPTH_MAX) return null;
    if (Array.isArray(value)) {
      const items = value.map((item) => this.#value(item, depth + 1));
      return items.every((item, i) => item === value[i]) ? value : items;
    }
    const entries = Object.entries(value);
    const redacted = entries.map(([name, field]): [string, unknown] => [
      name,
      depth === 0 && STRUCTURE.has(name) ? field : this.#field(name, field, depth),
    ]);
    // Not an assignment by name: `__proto__` is a name like any other.
    return redacted.every(([, field], i) => field === entries[i]![1]) ? value : Object.fromEntries(redacted);
  }

  /** A text under a name that says that it is secret is one, whatever it looks like. */
  #field(name: string, field: unknown, depth: number): unknown {
    if (typeof field !== 'string' || field === '' || !SECRET_NAME.test(name))
      return this.#value(field, depth + 1);
    const told = `${name}=${field}`;
    const redacted = this.#text(told);
    return redacted === told ? this.#text(field) : redacted.slice(name.length + 1);
  }

  #text(text: string): string {
    let redacted = this.#texts.get(text);
    if (redacted === undefined) {
      redacted = this.#redactor.text(text);
      this.#texts.set(text, redacted);
    }
    return redacted;
  }
}

/** Of a part: what kind it is, and by which id and name a tool is spoken of. */
const STRUCTURE = new Set(['type', 'id', 'name']);
const SECRET_NAME = new RegExp(`${SECRET_NAMES}$`, 'i');
const DEPTH_MAX = 64;

const differs = (before: readonly Message[] | null, after: readonly Message[] | null): boolean =>
  before !== null && after !== null && before.some((message, i) => message !== after[i]);
