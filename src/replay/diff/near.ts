import type { Message, Step } from '../recording.ts';
import { align } from './align.ts';
import type { Contents, NumberedStep } from './content.ts';

/**
 * Pairs steps that are not the same by how near they are: a model call with a model call, the use of a tool with another
 * use of that tool. Of all ways to pair them in order, the one with the most nearness; where that would take more
 * comparisons than there is room for, the first of a kind with the first of that kind.
 */
export function nearPairs(
  a: readonly NumberedStep[],
  b: readonly NumberedStep[],
  contents: Contents,
  room: { cells: number },
): [number, number][] {
  const cells = a.length * b.length;
  if (cells > 1 && cells > room.cells) return inOrder(a, b);
  room.cells -= cells;
  return nearest(a, b, contents);
}

function inOrder(a: readonly NumberedStep[], b: readonly NumberedStep[]): [number, number][] {
  const numbers = new Map<string, number>();
  const numbered = (steps: readonly NumberedStep[]) =>
    Int32Array.from(steps, ({ step }) => {
      const kind = kindOf(step);
      const number = numbers.get(kind) ?? numbers.size;
      numbers.set(kind, number);
      return number;
    });
  return align(numbered(a), numbered(b)).map(([x, y]) => [x, y]);
}

/** The way to pair two sequences that has the most nearness in all, by dynamic programming from their ends. */
function nearest(
  a: readonly NumberedStep[],
  b: readonly NumberedStep[],
  contents: Contents,
): [number, number][] {
  const sketchesOfA = a.map((step) => sketch(step, contents));
  const sketchesOfB = b.map((step) => sketch(step, contents));
  const width = b.length + 1;
  const best = new Float64Array((a.length + 1) * width);
  const near = new Float64Array(a.length * b.length);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--) {
      const isKind = kindOf(a[i]!.step) === kindOf(b[j]!.step);
      const nearness = isKind ? SAME_KIND + likeness(sketchesOfA[i]!, sketchesOfB[j]!) : 0;
      near[i * b.length + j] = nearness;
      const paired = nearness > 0 ? nearness + best[(i + 1) * width + j + 1]! : 0;
      best[i * width + j] = Math.max(paired, best[(i + 1) * width + j]!, best[i * width + j + 1]!);
    }
  const pairs: [number, number][] = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    const here = best[i * width + j]!;
    const nearness = near[i * b.length + j]!;
    if (nearness > 0 && nearness + best[(i + 1) * width + j + 1]! === here) pairs.push([i++, j++]);
    else if (best[(i + 1) * width + j] === here) i++;
    else j++;
  }
  return pairs;
}

/** What two steps have in common by being of one kind; what they say adds up to 1. */
const SAME_KIND = 0.2;

const kindOf = (step: Step): string => {
  if (step.kind === 'call') return 'call';
  return JSON.stringify([step.kind, step.kind === 'tool' ? step.tool : step.name]);
};

/** Of a step's words the SKETCH_SIZE that hash lowest, in order: what share two have in common estimates that of all. */
const SKETCH_SIZE = 48;
/** Characters of a step that are looked at. */
const SKETCH_CHARACTERS = 8_000;

function sketch({ step, since }: NumberedStep, contents: Contents): number[] {
  const words =
    textOf(step, since, contents)
      .slice(0, SKETCH_CHARACTERS)
      .match(/[\p{L}\p{N}_]+/gu) ?? [];
  const hashes = new Set(words.map(hashOf));
  return [...hashes].sort((x, y) => x - y).slice(0, SKETCH_SIZE);
}

function textOf(step: Step, since: number, contents: Contents): string {
  const said = (messages: readonly Message[] | null) =>
    messages?.flatMap((message) => contents.units(message).map(({ label, text }) => `${label} ${text}`)) ??
    [];
  if (step.kind === 'call')
    return [...said(step.output), ...said(step.input?.slice(since) ?? null)].join('\n');
  return step.kind === 'tool' ? `${step.arguments ?? ''}\n${step.result ?? ''}` : step.name;
}

/** FNV-1a, which needs no more than to spread. */
function hashOf(word: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < word.length; i++) hash = Math.imul(hash ^ word.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Words in common over all words, of the lowest of both. 1 for two steps that say nothing. */
function likeness(a: readonly number[], b: readonly number[]): number {
  let i = 0;
  let j = 0;
  let all = 0;
  let common = 0;
  while ((i < a.length || j < b.length) && all < SKETCH_SIZE) {
    const x = a[i] ?? Number.POSITIVE_INFINITY;
    const y = b[j] ?? Number.POSITIVE_INFINITY;
    if (x === y) common++;
    if (x <= y) i++;
    if (y <= x) j++;
    all++;
  }
  return all === 0 ? 1 : common / all;
}
