/** Hashes of a history: those of one before it that it goes on from, and what it adds. */
export interface HashList {
  before: HashList | undefined;
  added: readonly string[];
}

/** Two hashes of a list: what an agent is told first, and what it is asked. Its conversations differ in them. */
const BEGINNING = 72;

/**
 * A history is mostly the one before it in the same conversation and a little more. Only the little is read: all of them would
 * be most of a long run's bytes.
 */
export class Histories {
  readonly #last = new Map<string, { bytes: Buffer; list: HashList }>();

  /** The hashes that a call of this agent was asked with; calls come in their order. */
  read({ agent, parentAgent }: { agent: string; parentAgent: string }, bytes: Buffer): HashList | undefined {
    if (bytes.length === 0) return undefined;
    const conversation = JSON.stringify([parentAgent, agent, bytes.toString('latin1', 0, BEGINNING)]);
    const before = this.#last.get(conversation);
    const list =
      before && goesOn(bytes, before.bytes)
        ? { before: before.list, added: readHashes(`[${bytes.toString('utf8', before.bytes.length)}`) }
        : { before: undefined, added: readHashes(bytes.toString()) };
    this.#last.set(conversation, { bytes, list });
    return list;
  }
}

const COMMA = 0x2c;

/** Whether a list, as JSON, is another one with something added. */
function goesOn(bytes: Buffer, before: Buffer): boolean {
  const end = before.length - 1; // where it has its bracket
  return bytes[end] === COMMA && bytes.compare(before, 0, end, 0, end) === 0;
}

const ONE_HASH = /^\["[0-9a-f]+"\]$/;

/** Hashes as spans carry them: a JSON list. What is none, as a stranger may send it, has none. */
export function readHashes(list: string | undefined): string[] {
  if (list === undefined) return [];
  if (ONE_HASH.test(list)) return [list.slice(2, -2)]; // most lists, by far
  try {
    const said: unknown = JSON.parse(list);
    return Array.isArray(said) ? said.filter((hash) => typeof hash === 'string') : [];
  } catch {
    return [];
  }
}
