import type { Change, Difference, Field, Scalar } from './difference.ts';
import { diffJson, isSameDocument, parseDocument } from './json.ts';
import type { Volatility } from './volatile.ts';
import { diffText, isOnlyVolatile } from './words.ts';

/**
 * Tells how contents differ, each pair of them once: a text that stood against another comes back in the histories of all
 * later calls, and is carried there. What an agent did, and what a tool gave, is always told as new.
 */
export interface Told {
  /** Two contents of a step; nothing where they are equal. */
  both(field: Field, at: string, a: string, b: string, isWritten: boolean): Difference[];
  /** A content that only one of them has. */
  only(field: Field, at: string, text: string, which: 'a' | 'b'): Difference;
  /** Two settings of an agent that differ. */
  settings(agent: string, field: Field, at: string, a: Scalar, b: Scalar): Difference[];
}

/** What may only repeat what was told before. */
const CARRIES: ReadonlySet<Field> = new Set<Field>(['input', 'arguments', 'tool_definitions']);

interface Compared {
  change: Change;
  isVolatile: boolean;
}

export function createTold(volatility: Volatility): Told {
  // A text that the other run lacks stands beside `null`.
  const byA = new Map<string | null, Map<string | null, Compared>>();
  const once = (
    a: string | null,
    b: string | null,
    compare: () => Compared,
  ): Compared & { isNew: boolean } => {
    const ofA = byA.get(a) ?? new Map<string | null, Compared>();
    const known = ofA.get(b);
    const compared = known ?? compare();
    if (!known) byA.set(a, ofA.set(b, compared));
    return { ...compared, isNew: !known };
  };
  const weighed = (field: Field, at: string, { change, isVolatile, isNew }: ReturnType<typeof once>) => {
    const weight = isVolatile ? 'volatile' : !isNew && CARRIES.has(field) ? 'carried' : 'counts';
    return { field, at, weight, change } as const;
  };
  return {
    both: (field, at, a, b, isWritten) =>
      a === b
        ? []
        : [
            weighed(
              field,
              at,
              once(a, b, () => compareContents(a, b, isWritten, volatility)),
            ),
          ],
    only: (field, at, text, which) => {
      const [a, b] = which === 'a' ? [text, null] : [null, text];
      const change = (): Change => ({
        kind: 'text',
        pieces: text === '' ? [] : [[which === 'a' ? '-' : '+', text]],
      });
      return weighed(
        field,
        at,
        once(a, b, () => ({ change: change(), isVolatile: false })),
      );
    },
    settings: (agent, field, at, a, b) => {
      if (a === b) return [];
      const name = (value: Scalar) => JSON.stringify([agent, field, at, value]);
      const { isNew, change } = once(name(a), name(b), () => ({
        change: { kind: 'value', a, b },
        isVolatile: false,
      }));
      return [{ field, at, weight: isNew ? 'counts' : 'carried', change }];
    },
  };
}

/**
 * How two contents that differ do so: JSON by path, everything else by words. Of what a model wrote as JSON (`isWritten`) the
 * document counts, of what a tool gave every character but the order of keys.
 */
export function compareContents(a: string, b: string, isWritten: boolean, volatility: Volatility): Compared {
  if (isSameDocument(a, b, !isWritten))
    return { change: { kind: 'json', entries: [], more: 0 }, isVolatile: true };
  const x = parseDocument(a);
  const y = parseDocument(b);
  if (x !== undefined && y !== undefined) {
    const { entries, more } = diffJson(x, y, volatility);
    // What only the texts tell, such as digits that no number holds, is told by words.
    if (entries.length > 0) {
      const isVolatile = more === 0 && entries.every((entry) => entry.volatile);
      return { change: { kind: 'json', entries, more }, isVolatile };
    }
  }
  const pieces = diffText(a, b, volatility);
  return { change: { kind: 'text', pieces }, isVolatile: isOnlyVolatile(pieces) };
}
