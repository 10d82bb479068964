import { areAlike, isDivergence } from '../replay/diff/diff.ts';
import type { Change, Difference, JsonChange, Piece, RunDiff, StepDiff } from '../replay/diff/difference.ts';
import { type Excerpt, excerpt } from '../replay/diff/excerpt.ts';
import { pathText } from '../replay/diff/json.ts';
import { clipped, saidBy, stepTitle } from '../replay/diff/said.ts';
import { summaryOf } from '../replay/diff/summary.ts';
import type { Recording } from '../replay/recording.ts';
import { count, decimal, duration, time, UNKNOWN, usd } from './format.ts';
import type { Output, Style } from './output.ts';
import { verdict } from './runs.ts';
import { type Cell, type Column, printable, table } from './table.ts';

/**
 * A diff as people read it in a terminal: both runs, one sentence, the first divergence with what came before it, and a
 * line for each step that differs after it. What is gone stands in [-…-], what came in {+…+}, in colour or not.
 */
const CONTEXT_STEPS = 2;
const CONTEXT_WIDTH = 100;
const LATER_MAX = 30;
const PARTS_MAX = 20;
const LIMITS = { around: 80, alone: 1_000, changes: 40 };
const VALUE_MAX = 200;

type Paint = Output['paint'];

export function tellDiff(out: Output, diff: RunDiff): void {
  for (const line of table(out.paint, COLUMNS, [
    { side: 'a', recording: diff.a },
    { side: 'b', recording: diff.b },
  ]))
    out.line(line);
  out.line();
  out.line(out.paint(areAlike(diff) ? 'green' : 'bold', printable(summaryOf(diff))));
  if (diff.run.length > 0) {
    out.line();
    out.line('the run as a whole');
    tellDifferences(out, diff.run);
  }
  const { firstDivergence: first, steps } = diff;
  if (first === null) return;
  out.line();
  const contextFrom = Math.max(0, first - CONTEXT_STEPS);
  if (contextFrom > 0) out.line(out.paint('dim', `   … ${count(contextFrom)} steps before`));
  for (const step of steps.slice(contextFrom, first)) out.line(out.paint('dim', contextLine(diff, step)));
  tellStep(out, diff, steps[first]!, 'bold');
  const action = diff.firstAction;
  if (action !== null && action !== first) tellStep(out, diff, steps[action]!, 'bold');
  tellLater(
    out,
    steps.slice(first + 1).filter((step) => isDivergence(step) && step !== steps[action ?? first]),
  );
}

const COLUMNS: Column<{ side: string; recording: Recording }>[] = [
  { header: '', cell: ({ side }) => side },
  { header: 'loop', cell: ({ recording }) => recording.loop },
  { header: 'run', cell: ({ recording }) => recording.run },
  { header: 'replay of', cell: ({ recording }) => recording.replayOf ?? '' },
  { header: 'started (UTC)', cell: ({ recording }) => time(recording.startedAt) },
  { header: 'took', align: 'right', cell: ({ recording }) => duration(recording.durationMs) },
  { header: 'steps', align: 'right', cell: ({ recording }) => count(recording.steps.length) },
  { header: 'checker', cell: ({ recording }): Cell => verdict(recording.verdict?.pass ?? null) },
  { header: 'golden', align: 'right', cell: ({ recording }) => decimal(recording.goldenScore) },
  { header: 'tokens in', align: 'right', cell: ({ recording }) => count(recording.inputTokens) },
  { header: 'out', align: 'right', cell: ({ recording }) => count(recording.outputTokens) },
  { header: 'cost', align: 'right', cell: ({ recording }) => usd(recording.costUsd) },
  {
    header: 'model',
    cell: ({ recording }) => recording.versions.servedModel ?? recording.versions.model ?? UNKNOWN,
  },
];

/** Its place in a and in b, from 1 on. */
function placeOf({ aIndex, bIndex }: StepDiff): string {
  const [a, b] = [aIndex, bIndex].map((index) => (index === null ? UNKNOWN : String(index + 1)));
  return a === b ? a! : `${a}/${b}`;
}

const recorded = ({ a, b }: RunDiff, { aIndex, bIndex }: StepDiff) =>
  aIndex === null ? b.steps[bIndex!]! : a.steps[aIndex]!;

function contextLine(diff: RunDiff, step: StepDiff): string {
  const said = saidBy(recorded(diff, step))
    .map(({ label, text }) => (label === 'text' ? text : `${label} ${text}`))
    .join('; ');
  return printable(
    `   ${placeOf(step)}  ${stepTitle(step)}  ${clipped(said.replace(/\s+/g, ' '), CONTEXT_WIDTH)}`,
  );
}

function tellStep(out: Output, diff: RunDiff, step: StepDiff, style: Style): void {
  const outcome =
    step.outcome === 'only_a' ? 'only in a' : step.outcome === 'only_b' ? 'only in b' : 'changed';
  out.line(out.paint(style, printable(`▶  ${placeOf(step)}  ${stepTitle(step)}: ${outcome}`)));
  if (step.differences.length > 0) {
    tellDifferences(out, step.differences);
    return;
  }
  const op = step.outcome === 'only_a' ? '-' : '+';
  for (const { label, text } of saidBy(recorded(diff, step))) tellPart(out, label, [[op, text]]);
}

function tellDifferences(out: Output, differences: readonly Difference[]): void {
  const counting = differences.filter(({ weight }) => weight === 'counts');
  for (const { field, at, change } of counting.slice(0, PARTS_MAX))
    tellChange(out, [field.replaceAll('_', ' '), at].filter(Boolean).join(', '), change);
  const more = counting.length - PARTS_MAX;
  if (more > 0) out.line(out.paint('dim', `   and ${count(more)} more`));
  for (const [weight, what] of [
    ['carried', 'that follow from an earlier step'],
    ['volatile', 'of ids, times or the order of keys'],
    ['unknown', 'where not both were recorded'],
  ] as const) {
    const n = differences.filter((difference) => difference.weight === weight).length;
    if (n > 0) out.line(out.paint('dim', `   and ${count(n)} ${what}`));
  }
}

function tellChange(out: Output, name: string, change: Change): void {
  if (change.kind === 'text') tellPart(out, name, change.pieces);
  else if (change.kind === 'value')
    out.line(`   ${printable(name)}: ${fromTo(out.paint, change.a, change.b)}`);
  else if (change.entries.length === 0)
    out.line(`   ${printable(name)}: the same document, written in another way`);
  else {
    out.line(`   ${printable(name)}:`);
    for (const entry of change.entries.slice(0, PARTS_MAX)) out.line(`     ${entryText(out.paint, entry)}`);
    const more = change.more + Math.max(0, change.entries.length - PARTS_MAX);
    if (more > 0) out.line(out.paint('dim', `     and ${count(more)} more places`));
  }
}

function entryText(paint: Paint, { path, op, a, b, pieces }: JsonChange): string {
  const at = printable(pathText(path));
  if (op === 'removed') return `${at}: ${paint('red', `[-${value(a)}-]`)}`;
  if (op === 'added') return `${at}: ${paint('green', `{+${value(b)}+}`)}`;
  if (pieces && pieces.length > 2) return `${at}: ${inline(paint, pieces).join(' ⏎ ')}`;
  return `${at}: ${fromTo(paint, a, b)}`;
}

const fromTo = (paint: Paint, a: unknown, b: unknown): string =>
  `${paint('red', value(a))} → ${paint('green', value(b))}`;

const value = (of: unknown): string =>
  of === null || of === undefined ? UNKNOWN : printable(clipped(JSON.stringify(of), VALUE_MAX));

function tellPart(out: Output, name: string, pieces: readonly Piece[]): void {
  const lines = inline(out.paint, pieces);
  if (lines.length === 1) out.line(`   ${printable(name)}: ${lines[0]}`);
  else {
    out.line(`   ${printable(name)}:`);
    for (const line of lines) out.line(`     ${line}`);
  }
}

/** Pieces as lines in which changes are marked; a mark that goes over several lines is on each. */
function inline(paint: Paint, pieces: readonly Piece[]): string[] {
  const lines = [''];
  const add = (text: string, marked: (line: string) => string) => {
    text.split('\n').forEach((part, i) => {
      if (i > 0) lines.push('');
      if (part !== '') lines[lines.length - 1] += marked(printable(part.replaceAll('\t', '  ')));
    });
  };
  for (const piece of excerpt(pieces, LIMITS)) add(...markedPiece(paint, piece));
  return lines;
}

function markedPiece(paint: Paint, piece: Excerpt): [text: string, marked: (line: string) => string] {
  switch (piece[0]) {
    case '=':
      return [piece[1], (line) => line];
    case '-':
      return [piece[1], (line) => paint('red', `[-${line}-]`)];
    case '+':
      return [piece[1], (line) => paint('green', `{+${line}+}`)];
    case '~':
      return [`${piece[1]} → ${piece[2]}`, (line) => paint('dim', line)];
    case '…':
      return [` … ${count(piece[1])} characters … `, (line) => paint('dim', line)];
    case 'more':
      return [` and ${count(piece[1])} more changes`, (line) => paint('dim', line)];
  }
}

function tellLater(out: Output, later: readonly StepDiff[]): void {
  if (later.length === 0) return;
  out.line();
  out.line(`After that ${later.length === 1 ? 'one step differs' : `${count(later.length)} steps differ`}:`);
  for (const step of later.slice(0, LATER_MAX)) {
    const fields = new Set(
      step.differences.flatMap(({ field, weight }) => (weight === 'counts' ? [field] : [])),
    );
    const what =
      step.outcome === 'changed'
        ? [...fields].join(', ').replaceAll('_', ' ')
        : step.outcome.replace('_', ' in ');
    out.line(printable(`   ${placeOf(step)}  ${stepTitle(step)}: ${what}`));
  }
  const more = later.length - LATER_MAX;
  if (more > 0) out.line(`   and ${count(more)} more (--html FILE or --json has them all)`);
}
