import type { Message, ModelCall, Part, ToolCall } from '../recording.ts';

/**
 * Tool calls as the model's calls tell them: the model asks for a tool in an answer, and its result stands in the history
 * that the agent sends along later.
 *
 * An id alone does not say which call is meant, as models give the same again in one conversation. So histories are
 * followed: a request whose history begins with all that an earlier one had goes on with that conversation, and only
 * what it adds is read; a result belongs to the oldest call of its id that has none. What stood in the first history of
 * a conversation happened before the run.
 */
export function toolCallsOf(calls: readonly ModelCall[]): Map<ModelCall, ToolCall[]> {
  const found = new Map<ModelCall, ToolCall[]>();
  const agents = Map.groupBy(calls, ({ parentAgent, agent }) => `${parentAgent}\0${agent}`);
  for (const own of agents.values()) new Follower(found).follow(own);
  return found;
}

/** The calls of one agent. */
class Follower {
  readonly #found: Map<ModelCall, ToolCall[]>;
  #conversations: Conversation[] = [];

  constructor(found: Map<ModelCall, ToolCall[]>) {
    this.#found = found;
  }

  follow(calls: readonly ModelCall[]): void {
    for (const call of calls) this.#hear(call);
  }

  #hear(call: ModelCall): void {
    const { input, output } = call;
    const conversation = input ? this.#continued(input) : undefined;
    if (input) this.#read(call, input.slice(conversation?.history.length ?? 0), conversation);
    const asked = output ? this.#asked(call, output) : [];
    if (!input) {
      // Of a request that nobody recorded a later history still shows what its tools gave.
      if (asked.length > 0) this.#remember({ history: [], open: asked, told: [], known: false });
      return;
    }
    if (conversation) {
      conversation.history = input;
      conversation.open.push(...asked);
      conversation.told = [...asked];
    } else this.#remember({ history: input, open: asked, told: [...asked], known: true });
  }

  #remember(conversation: Conversation): void {
    this.#conversations.push(conversation);
    if (this.#conversations.length > CONVERSATIONS_MAX) this.#conversations.shift();
  }

  /** The conversation that a history goes on with: the longest that it begins with. */
  #continued(input: readonly Message[]): Conversation | undefined {
    let best: Conversation | undefined;
    for (const conversation of this.#conversations)
      if (conversation.known && conversation.history.length > (best?.history.length ?? -1))
        if (beginsWith(input, conversation.history)) best = conversation;
    return best;
  }

  /** What a request adds to its conversation. */
  #read(call: ModelCall, added: readonly Message[], conversation: Conversation | undefined): void {
    for (const { role, parts } of added)
      for (const part of parts) {
        if (part.type === 'tool_call_response') this.#answer(part, conversation);
        else if (part.type === 'tool_call' && role === 'assistant' && conversation)
          this.#retold(call, part, conversation);
      }
  }

  #answer(part: Part, conversation: Conversation | undefined): void {
    const id = text(part['id']);
    const others = this.#conversations.filter((other) => other !== conversation);
    for (const { open } of conversation ? [conversation, ...others] : others) {
      const at = open.findIndex(({ callId }) => callId === id);
      if (at === -1) continue;
      const [answered] = open.splice(at, 1);
      answered!.result = textOf(part['response'] ?? part['result']);
      return;
    }
  }

  /** The history says again what the model asked for; what it did not say when it answered is known from here. */
  #retold(call: ModelCall, part: Part, { open, told }: Conversation): void {
    const id = text(part['id']);
    const at = told.findIndex(({ callId, tool }) => callId === id && tool === text(part['name']));
    if (at !== -1) {
      told.splice(at, 1);
      return;
    }
    open.push(this.#add(call, part, call.atMs));
  }

  #asked(call: ModelCall, output: readonly Message[]): ToolCall[] {
    // Of several answers to choose from nobody knows yet which one the agent goes on with.
    if (output.length > 1 && output.every(({ finish_reason }) => finish_reason !== undefined)) return [];
    const atMs = call.atMs + (call.durationMs ?? 0);
    return output
      .flatMap(({ parts }) => parts)
      .filter(({ type }) => type === 'tool_call')
      .map((part) => this.#add(call, part, atMs));
  }

  #add(call: ModelCall, part: Part, atMs: number): ToolCall {
    const { agent, role, parentAgent } = call;
    const tool: ToolCall = {
      kind: 'tool',
      spanId: '',
      agent,
      role,
      parentAgent,
      atMs,
      durationMs: null,
      error: null,
      tool: text(part['name']),
      callId: text(part['id']),
      arguments: textOf(part['arguments']),
      result: null,
    };
    const own = this.#found.get(call);
    if (own) own.push(tool);
    else this.#found.set(call, [tool]);
    return tool;
  }
}

interface Conversation {
  history: readonly Message[];
  /** Whether `history` is known. */
  known: boolean;
  /** Tools that were asked for and have no result yet. */
  open: ToolCall[];
  /** What the newest answer asked for, and no history has said again yet. */
  told: ToolCall[];
}

/** Conversations of one agent that are followed at once; one that is idle longest is forgotten first. */
const CONVERSATIONS_MAX = 256;

/** Messages are the same objects where they say the same. */
function beginsWith(history: readonly Message[], beginning: readonly Message[]): boolean {
  if (history.length < beginning.length) return false;
  // Most that differ do so at the end.
  for (let i = beginning.length - 1; i >= 0; i--) if (history[i] !== beginning[i]) return false;
  return true;
}

/**
 * Puts tool calls that have a span of their own together with those that are told by model calls: `own` by `told`, each at
 * most once, in the order of time among equals. By the model's id; where one of them has none by name and arguments; then,
 * as instrumentation writes arguments in ways of its own, a span without an id by its name alone.
 */
export function pairTools(own: readonly ToolCall[], told: readonly ToolCall[]): Map<ToolCall, ToolCall> {
  const pairs = new Map<ToolCall, ToolCall>();
  const taken = new Set<ToolCall>();
  const hasId = ({ callId }: ToolCall) => callId !== '';
  const hasNoId = ({ callId }: ToolCall) => callId === '';
  const pair = (mine: typeof hasId, theirs: typeof hasId, key: (tool: ToolCall) => string) => {
    const byKey = Map.groupBy(
      told.filter((tool) => !taken.has(tool) && theirs(tool)),
      key,
    );
    for (const tool of own) {
      const match = pairs.has(tool) || !mine(tool) ? undefined : byKey.get(key(tool))?.shift();
      if (!match) continue;
      pairs.set(tool, match);
      taken.add(match);
    }
  };
  pair(hasId, hasId, ({ tool, callId }) => JSON.stringify([tool, callId]));
  pair(hasNoId, () => true, asGiven);
  pair(hasId, hasNoId, asGiven);
  pair(
    hasNoId,
    () => true,
    ({ tool }) => tool,
  );
  return pairs;
}

const asGiven = ({ tool, arguments: given }: ToolCall): string =>
  JSON.stringify([tool, given === null ? null : canonical(given)]);

/** Arguments without what spacing and the order of names make of them. */
function canonical(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), (_name, value) =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
        : value,
    );
  } catch {
    return json;
  }
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** What a tool was given or gave, as a text; JSON where it was sent as an object. */
export const textOf = (value: unknown): string | null =>
  value === undefined || value === null ? null : typeof value === 'string' ? value : JSON.stringify(value);
