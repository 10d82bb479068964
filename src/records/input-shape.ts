/**
 * What kind of task an input is, where nothing names it: a coarse shape, so that a change of what a loop is given
 * can be told from a change of how well it does.
 */

const SIZES: readonly [bytes: number, name: string][] = [
  [64, 'tiny'],
  [256, 'short'],
  [1024, 'medium'],
  [4096, 'long'],
];
const LARGEST = 'very long';
const MARKS: readonly [pattern: RegExp, name: string][] = [
  [/[0-9]/, 'numbers'],
  [/[{}`]/, 'code'],
  [/[?]/, 'question'],
];

/** Such as `short, numbers, question`. */
export function inputShape(input: string): string {
  const bytes = Buffer.byteLength(input);
  const size = SIZES.find(([below]) => bytes < below)?.[1] ?? LARGEST;
  return [size, ...MARKS.filter(([pattern]) => pattern.test(input)).map(([, name]) => name)].join(', ');
}

/** The same as a ClickHouse expression over a column. */
export const inputShapeSql = (column: string): string =>
  `concat(multiIf(${SIZES.map(([below, name]) => `length(${column}) < ${below}, '${name}'`).join(', ')}, '${LARGEST}'), ${MARKS.map(
    ([pattern, name]) => `if(match(${column}, '${pattern.source}'), ', ${name}', '')`,
  ).join(', ')})`;
