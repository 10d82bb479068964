import type { Api } from './wire/wire.ts';

/**
 * The tools that an answer makes its reader call, by name: read from what came, in every form in which the APIs say it, as
 * one document or as the events of a stream. Whoever guards tools has to see each of them, so that
 *
 * - what is not known to be harmless is a tool, named by its type;
 * - a name that comes in pieces is every name that it could be put together to;
 * - an answer that is not what its API answers is not understood, and goes nowhere.
 */
export type AskedTools =
  | { outcome: 'read'; tools: readonly string[] }
  | { outcome: 'not_understood'; why: string };

type Json = Record<string, unknown>;

/** The tools of an answer: `said` are its events, or the one document that it is. */
export function askedTools(api: Api, said: readonly unknown[]): AskedTools {
  const names = new Names();
  try {
    for (const item of said) {
      if (!isObject(item)) throw new NotUnderstood('an event is no object');
      READERS[api](item, names);
    }
  } catch (error) {
    if (error instanceof NotUnderstood) return { outcome: 'not_understood', why: error.message };
    throw error;
  }
  return { outcome: 'read', tools: names.all() };
}

class NotUnderstood extends Error {}

/** Names as they come, whole or in pieces. */
class Names {
  private readonly whole = new Set<string>();
  private readonly pieces = new Map<string, string[]>();

  add(name: unknown): void {
    this.whole.add(typeof name === 'string' ? name : String(JSON.stringify(name)));
  }

  /** A piece of the name of the tool at a place. */
  piece(place: string, name: unknown): void {
    if (name === undefined || name === null || name === '') return;
    const known = this.pieces.get(place) ?? [];
    known.push(String(name));
    this.pieces.set(place, known);
  }

  /** A tool at a place, whether it is named or not. */
  place(place: string): void {
    if (!this.pieces.has(place)) this.pieces.set(place, []);
  }

  all(): string[] {
    const all = new Set(this.whole);
    for (const pieces of this.pieces.values()) {
      // Some readers put pieces together, others take the first or the last.
      for (const piece of pieces) all.add(piece);
      all.add(pieces.join(''));
      if (new Set(pieces).size <= 1 && pieces.length > 0) {
        // The same name with every piece is that name to all who are known.
        all.delete(pieces.join(''));
        all.add(pieces[0]!);
      }
    }
    return [...all];
  }
}

const READERS: Record<Api, (item: Json, names: Names) => void> = {
  chat_completions(item, names) {
    for (const [i, value] of listAt(item, 'choices').entries()) {
      const choice = objectOf(value, 'a choice');
      for (const message of [choice['message'], choice['delta']]) {
        if (message === undefined || message === null) continue;
        const said = objectOf(message, 'a message');
        const at = String(choice['index'] ?? i);
        for (const [j, call] of listAt(said, 'tool_calls').entries())
          chatTool(objectOf(call, 'a tool call'), `${at}/${j}`, at, names);
        const old = said['function_call'];
        if (old !== undefined && old !== null) {
          names.place(`${at}/function_call`);
          names.piece(`${at}/function_call`, objectOf(old, 'a function call')['name']);
        }
      }
    }
  },

  responses(item, names) {
    // An event has an item, or the whole response; a document is one.
    const response = isObject(item['response']) ? item['response'] : item;
    for (const value of listAt(response, 'output')) responsesItem(objectOf(value, 'an item'), names);
    if (item['item'] !== undefined) responsesItem(objectOf(item['item'], 'an item'), names);
    const type = String(item['type'] ?? '');
    const isToolEvent = /^response\.(function_call_arguments|custom_tool_call_input)\.done$/.test(type);
    if (isToolEvent && item['name'] !== undefined) names.add(item['name']);
  },

  messages(item, names) {
    const content = isObject(item['message']) ? item['message'] : item;
    for (const value of listAt(content, 'content')) anthropicBlock(objectOf(value, 'a block'), names);
    if (item['content_block'] !== undefined)
      anthropicBlock(objectOf(item['content_block'], 'a block'), names);
  },
};

function chatTool(call: Json, place: string, choice: string, names: Names): void {
  const at = call['index'] === undefined ? place : `${choice}/${String(call['index'])}`;
  names.place(at);
  for (const [key, value] of Object.entries(call)) {
    if (key === 'index' || key === 'id' || key === 'type') continue;
    // Whatever kind of tool it is, what it is called stands in an object of that name.
    if (isObject(value)) names.piece(at, value['name']);
    else if (key === 'name') names.piece(at, value);
  }
}

/** Items that make nobody do anything, or that the provider has done already. */
const HARMLESS_ITEMS = new Set([
  'message',
  'reasoning',
  'compaction',
  'web_search_call',
  'file_search_call',
  'code_interpreter_call',
  'image_generation_call',
  'mcp_list_tools',
  'mcp_call',
]);

function responsesItem(item: Json, names: Names): void {
  const type = String(item['type']);
  if (type === 'function_call' || type === 'custom_tool_call') names.add(item['name']);
  else if (!HARMLESS_ITEMS.has(type)) names.add(type);
}

const HARMLESS_BLOCKS = new Set(['text', 'thinking', 'redacted_thinking', 'server_tool_use', 'mcp_tool_use']);

function anthropicBlock(block: Json, names: Names): void {
  const type = String(block['type']);
  if (type === 'tool_use') names.add(block['name']);
  // Results of what the provider did itself.
  else if (!HARMLESS_BLOCKS.has(type) && !type.endsWith('_tool_result')) names.add(type);
}

/**
 * The tools among those offered that the provider carries out by itself, while it answers: by name, or by type where they have
 * none. Functions and the like, which the loop carries out, are none.
 */
export function providerTools(api: Api, body: Json): string[] {
  const found: string[] = [];
  const tools = body['tools'];
  for (const value of Array.isArray(tools) ? tools : []) {
    if (!isObject(value)) continue;
    const type = value['type'] === undefined ? '' : String(value['type']);
    if (BY_LOOP[api].test(type)) continue;
    found.push(String(value['server_label'] ?? value['name'] ?? type));
  }
  for (const value of Array.isArray(body['mcp_servers']) ? body['mcp_servers'] : [])
    found.push(isObject(value) ? String(value['name']) : 'mcp_servers');
  if (body['web_search_options'] !== undefined) found.push('web_search');
  // What a prompt that is stored with the provider offers is not known here.
  if (isObject(body['prompt'])) found.push(`prompt ${String(body['prompt']['id'])}`);
  return found;
}

/** Types of tools that the loop carries out. */
const BY_LOOP: Record<Api, RegExp> = {
  chat_completions: /^(function|custom|)$/,
  responses: /^(function|custom|local_shell|computer_use_preview|computer|apply_patch)$/,
  messages: /^(custom|bash_\d+|text_editor_\d+|computer_\d+|memory_\d+|)$/,
};

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function objectOf(value: unknown, what: string): Json {
  if (isObject(value)) return value;
  throw new NotUnderstood(`${what} is no object`);
}

/** A list; nothing where there is none. */
function listAt(object: Json, name: string): unknown[] {
  const value = object[name];
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  if (name === 'content' && typeof value === 'string') return [];
  throw new NotUnderstood(`"${name}" is no list`);
}
