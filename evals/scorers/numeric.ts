import type { Scorer } from './scorer.ts';

/** A number as people and models write it: `-3`, `1,234.5`, `.5`, `6e-3`. A dash after a word or digit is no sign. */
const NUMBER =
  /(?:(?<![\w.)])[-+−])?(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?/gi;

/**
 * Right when the last number of the answer lies within the tolerance of what was expected: the absolute one or
 * the relative one, whichever is wider. An answer without a number is wrong. Throws where the golden data has no number.
 */
export function numeric({
  numeric: { absolute, relative },
}: {
  numeric: { absolute: number; relative: number };
}): Scorer {
  return (output, expected) => {
    const wanted = toNumber(expected.trim());
    if (!Number.isFinite(wanted))
      throw new Error(
        `expected a number in the golden data, found ${JSON.stringify(expected.slice(0, 80))}; correct the item, or use another scorer`,
      );
    const given = lastNumber(output);
    if (given === undefined) return 0;
    return Math.abs(given - wanted) <= Math.max(absolute, relative * Math.abs(wanted)) ? 1 : 0;
  };
}

/** The last number in a text, or `undefined` where there is none. */
export function lastNumber(text: string): number | undefined {
  const found = text.match(NUMBER)?.at(-1);
  return found === undefined ? undefined : toNumber(found);
}

const toNumber = (text: string) =>
  text === '' ? Number.NaN : Number(text.replaceAll(',', '').replace('−', '-'));
