import { contentHash } from '../../records/normalize.ts';
import type { Message } from '../recording.ts';

/** A part of a message, as far as it is hashed. */
interface Said {
  hash: string;
  volatile: readonly string[];
}

/**
 * The hash of a history, in the time that its new messages take: an agent sends all that was said again with every call.
 *
 * What is known is a tree, a node for each message behind those before it. A node's hash is made of its parent's, part by
 * part, so that borders between messages do not show. Names of volatile values are numbers in the order in which they
 * appear, which only grow along a branch: the first that goes on from a node writes on in its map, any other in a copy.
 */
interface Node {
  hash: string;
  /** Names given so far. */
  count: number;
  names: Map<string, number>;
  isContinued: boolean;
  next: WeakMap<Message, Node>;
}

export function historyHasher(
  unitsOf: (message: Message) => readonly Said[],
): (messages: readonly Message[]) => string {
  const root: Node = { hash: '', count: 0, names: new Map(), isContinued: false, next: new WeakMap() };
  const extended = (node: Node, message: Message): Node => {
    const { count, names: known, isContinued } = node;
    const names = isContinued ? new Map([...known].filter(([, name]) => name < count)) : known;
    node.isContinued = true;
    let { hash } = node;
    for (const unit of unitsOf(message)) {
      for (const value of unit.volatile) if (!names.has(value)) names.set(value, names.size);
      hash = contentHash(`${hash} ${unit.hash} ${unit.volatile.map((value) => names.get(value)).join(' ')}`);
    }
    return { hash, count: names.size, names, isContinued: false, next: new WeakMap() };
  };
  return (messages) => {
    let node = root;
    for (const message of messages) {
      let next = node.next.get(message);
      if (!next) {
        next = extended(node, message);
        node.next.set(message, next);
      }
      node = next;
    }
    return node.hash;
  };
}
