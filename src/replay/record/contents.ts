import { A } from '../../span/attributes.ts';
import { type HashList, readHashes } from '../../store/hash-list.ts';
import type { StoredContent } from '../../store/recorded-contents.ts';
import type { RecordedSpan } from '../../store/recordings.ts';
import type { Gap, Message } from '../recording.ts';
import type { Missing } from './gaps.ts';
import { readMessages, readToolCalls, textPart } from './messages.ts';

/** A piece of content; `why` where it is not there, or not as it was. Neither: there was none. */
export interface Known<T> {
  value: T | null;
  why?: Gap['why'] | undefined;
}

/** Reasons that leave something to be read: what they name is there, only not all of it. */
const PARTLY: ReadonlySet<Gap['why'] | undefined> = new Set(['kept_by_provider', 'redacted']);

/**
 * What was said in the spans of a recording. The collector left hashes in its place; what says the same is one object, so
 * that histories can be compared by identity, and ten thousand steps share what they have in common.
 */
export class Contents {
  readonly #stored: ReadonlyMap<string, StoredContent>;
  readonly #absent: Gap['why'];
  readonly #nothing: Gap['why'];
  readonly #shared = new Map<string, unknown>();
  /** What each list says; `null` where not all of it is stored. */
  readonly #histories = new Map<HashList, Message[] | null>();

  /** `capture`: what the registry says is kept now. */
  constructor(stored: ReadonlyMap<string, StoredContent>, capture: 'off' | 'hashed' | 'full' | undefined) {
    this.#stored = stored;
    const isKept = capture === undefined || capture === 'full';
    this.#absent = isKept ? 'expired' : 'not_captured';
    this.#nothing = capture === 'off' ? 'not_captured' : 'not_recorded';
  }

  input(span: RecordedSpan, missing: Missing): Known<Message[]> {
    const { attributes: a, contents } = span;
    const textHash = a[A.inputTextHash];
    const said = this.#messages(span, missing.input, A.inputMessages, 'user', span.input, textHash);
    const instructions = contents[INSTRUCTIONS];
    if (instructions === undefined || said.value === null) return said;
    const system = this.#share(`system ${instructions}`, () => this.#system(instructions));
    return system ? { ...said, value: [system, ...said.value] } : { value: null, why: this.#absent };
  }

  output(span: RecordedSpan, missing: Missing): Known<Message[]> {
    const { attributes: a, contents } = span;
    const list = a[A.outputMessageHashes];
    if (list === undefined && AI_SDK_ANSWER.some((name) => contents[name] !== undefined))
      return this.#aiSdkAnswer(span);
    const said = list === undefined ? undefined : { before: undefined, added: readHashes(list) };
    const textHash = a[A.outputTextHash];
    return this.#messages(span, missing.output, A.outputMessages, 'assistant', said, textHash);
  }

  /** The tools that a call was offered; where it has a version of them it was offered some. */
  toolDefinitions({ attributes: a, contents }: RecordedSpan, missing: Missing): Known<string> {
    const told = missing.tool_definitions;
    if (told !== undefined && !PARTLY.has(told)) return { value: null, why: told };
    const list = firstOf(contents, DEFINITIONS);
    if (list === undefined)
      return { value: null, why: a[A.toolsVersion] === undefined ? undefined : this.#nothing };
    const value = this.#share(`tools ${list}`, () => {
      const pieces = this.#all(list);
      return pieces && definitionsOf(pieces.map(({ content }) => content));
    });
    return value === undefined ? { value: null, why: this.#absent } : { value, why: told };
  }

  arguments(span: RecordedSpan, missing: Missing): Known<string> {
    return this.#text(span, missing.tool_arguments, ARGUMENTS);
  }

  result(span: RecordedSpan, missing: Missing): Known<string> {
    return this.#text(span, missing.tool_result, RESULTS);
  }

  #messages(
    span: RecordedSpan,
    told: Gap['why'] | undefined,
    name: string,
    role: string,
    list: HashList | undefined,
    textHash: string | undefined,
  ): Known<Message[]> {
    if (told !== undefined && !PARTLY.has(told)) return { value: null, why: told };
    if (list !== undefined) {
      const value = this.#history(list, role);
      return value ? { value, why: told } : { value: null, why: this.#absent };
    }
    if (textHash !== undefined) {
      const message = this.#share(`${role} ${textHash}`, (): Message | undefined => {
        const stored = this.#stored.get(textHash);
        return stored && { role, parts: [textPart(stored.content)] };
      });
      return message ? { value: [message], why: told } : { value: null, why: this.#absent };
    }
    return { value: null, why: span.withheld.includes(name) ? 'redacted' : this.#nothing };
  }

  #history(list: HashList, role: string): Message[] | null {
    const unread: HashList[] = [];
    let known: Message[] | null | undefined;
    for (let at: HashList | undefined = list; at && known === undefined; at = at.before) {
      known = this.#histories.get(at);
      if (known === undefined) unread.push(at);
    }
    let history = known === undefined ? [] : known;
    for (const next of unread.reverse()) {
      const added = history && this.#added(next, role);
      history = history && added && history.concat(added);
      this.#histories.set(next, history);
    }
    return history;
  }

  #added({ added }: HashList, role: string): Message[] | null {
    const messages: Message[] = [];
    for (const hash of added) {
      const read = this.#share(hash, () => {
        const stored = this.#stored.get(hash);
        return stored && readMessages(stored.role || role, stored.content);
      });
      if (!read) return null;
      messages.push(...read);
    }
    return messages;
  }

  #system(list: string): Message | undefined {
    const pieces = this.#all(list);
    if (!pieces) return undefined;
    // Each is a part of the instructions, or the instructions as a text.
    const parts = pieces.flatMap(
      ({ content }) => readMessages('system', `{"parts":[${asJson(content)}]}`)[0]!.parts,
    );
    return { role: 'system', parts };
  }

  #aiSdkAnswer({ contents }: RecordedSpan): Known<Message[]> {
    const read = (name: string) => {
      const list = contents[name];
      return list === undefined ? [] : this.#all(list)?.map(({ content }) => content);
    };
    const [texts, reasoning, calls] = AI_SDK_ANSWER.map(read);
    if (!texts || !reasoning || !calls) return { value: null, why: this.#absent };
    const parts = [
      ...reasoning.map((content) => ({ type: 'reasoning', content })),
      ...texts.map(textPart),
      ...readToolCalls(calls),
    ];
    return { value: [{ role: 'assistant', parts }] };
  }

  /** What a tool was given or gave, under the first of `names` that is there. */
  #text(span: RecordedSpan, told: Gap['why'] | undefined, names: readonly string[]): Known<string> {
    if (told !== undefined && !PARTLY.has(told)) return { value: null, why: told };
    const list = firstOf(span.contents, names);
    if (list === undefined)
      return {
        value: null,
        why: span.withheld.some((name) => names.includes(`${A.contentHashes}.${name}`))
          ? 'redacted'
          : (told ?? this.#nothing),
      };
    const pieces = this.#all(list);
    if (!pieces) return { value: null, why: this.#absent };
    const value = rejoin(pieces.map(({ content }) => content));
    return value === undefined ? { value: null, why: 'not_recorded' } : { value, why: told };
  }

  #all(list: string): StoredContent[] | undefined {
    const pieces = readHashes(list).map((hash) => this.#stored.get(hash));
    return pieces.every((piece) => piece !== undefined) ? pieces : undefined;
  }

  #share<T>(key: string, make: () => T): T {
    let value = this.#shared.get(key) as T | undefined;
    if (value === undefined) {
      value = make();
      this.#shared.set(key, value);
    }
    return value as T;
  }
}

function firstOf(contents: RecordedSpan['contents'], names: readonly string[]): string | undefined {
  for (const name of names) if (contents[name] !== undefined) return contents[name];
  return undefined;
}

/** Where the collector leaves the hashes of what was sent under these names. */
const placesOf = (...names: string[]): readonly string[] => names.map((name) => `${A.contentHashes}.${name}`);

const INSTRUCTIONS = `${A.contentHashes}.${A.systemInstructions}`;
const DEFINITIONS = placesOf(A.toolDefinitions, 'llm.tools.', 'ai.prompt.tools');
const ARGUMENTS = placesOf(
  A.toolArguments,
  'ai.toolCall.args',
  'gcp.vertex.agent.tool_call_args',
  'traceloop.entity.input',
  'tool_arguments',
  'tool_input',
  'tool.parameters',
  'input.value',
);
const RESULTS = placesOf(
  A.toolResult,
  'ai.toolCall.result',
  'gcp.vertex.agent.tool_response',
  'traceloop.entity.output',
  'tool_response',
  'output.value',
);
const AI_SDK_ANSWER = placesOf('ai.response.text', 'ai.response.reasoning', 'ai.response.toolCalls');

/** All names under which content is read, besides messages. */
export const CONTENT_NAMES = [INSTRUCTIONS, ...DEFINITIONS, ...ARGUMENTS, ...RESULTS, ...AI_SDK_ANSWER];

/** What the collector took apart, put together again; `undefined` where it cannot be told how it was. */
function rejoin(pieces: readonly string[]): string | undefined {
  const [frame = '', ...objects] = pieces;
  if (objects.length === 0) return frame;
  // The objects of a list are apart from the list that they were in; of several lists nobody knows which.
  const [before, after, ...more] = frame.split('[]');
  return after === undefined || more.length > 0 ? undefined : `${before}[${objects.join(',')}]${after}`;
}

/** Tool definitions as one list, whether they were kept as one or each by itself. */
function definitionsOf(pieces: readonly string[]): string {
  if (pieces.length === 1 && pieces[0]!.startsWith('[')) return pieces[0]!;
  return `[${pieces.map((piece) => unwrapped(piece)).join(',')}]`;
}

/** Some send a definition as JSON in a text, or as a text among attributes of its own. */
function unwrapped(piece: string): string {
  const value = parse(piece);
  const inner =
    typeof value === 'string' ? value : (value as { json_schema?: unknown } | undefined)?.json_schema;
  return typeof inner === 'string' && parse(inner) !== undefined ? inner : asJson(piece);
}

const asJson = (text: string): string => (parse(text) === undefined ? JSON.stringify(text) : text);

function parse(text: string): unknown {
  try {
    return JSON.parse(text) ?? undefined;
  } catch {
    return undefined;
  }
}
