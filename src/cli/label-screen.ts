import type { QueueEntry } from '../store/label-queue.ts';
import type { RunContent } from '../store/run-content.ts';
import { count, time } from './format.ts';
import type { Output } from './output.ts';
import { verdict } from './runs.ts';
import { printable } from './table.ts';

/** A run on a screen, for a person who judges it. What was said in it comes from strangers and cannot steer the terminal. */

const TEXT_LENGTH_MAX = 20_000;
const INDENT = '  ';

export interface Shown {
  entry: QueueEntry;
  run: RunContent;
  /** Which run of how many. */
  n: number;
  of: number;
  /** What the checker said is left out, or it would sway who judges. */
  showVerdict: boolean;
}

/** The lines that show a run. */
export function screen({ entry, run, n, of, showVerdict }: Shown, paint: Output['paint']): string[] {
  const facts = [
    `${n} of ${of}`,
    `${run.loop} ${run.runId}`,
    `${time(run.startedAt)} UTC`,
    ...(run.servedModel ? [run.servedModel] : []),
    `${count(run.effects)} ${run.effects === 1 ? 'effect' : 'effects'}`,
    ...(run.state === 'failed' ? ['failed'] : []),
    ...(entry.raters.length > 0 ? ['second opinion'] : []),
  ];
  return [
    paint('bold', `── ${printable(facts.join(' · '))}`),
    ...part('asked', run.input, run, paint),
    ...part('answered', run.output, run, paint),
    ...(run.expected === null ? [] : part('expected', run.expected, run, paint)),
    ...(showVerdict ? [paint('dim', 'checker'), INDENT + verdictText(run, paint)] : []),
  ];
}

/** What the checker said of a run, in words. */
export function verdictText({ checkerPass, checkerName }: RunContent, paint: Output['paint']): string {
  if (checkerPass === null) return 'no verdict';
  const { text, style } = verdict(checkerPass);
  return `${style ? paint(style, text) : text}${checkerName ? ` (${printable(checkerName)})` : ''}`;
}

function part(heading: string, text: string | null, run: RunContent, paint: Output['paint']): string[] {
  if (text === null)
    return [
      paint('dim', heading),
      `${INDENT}not kept: the loop's capture is off or hashed, it said nothing, or retention removed it.`,
      `${INDENT}${printable(`\`loopscope trace ${run.runId} --loop ${run.loop}\` shows what else is known.`)}`,
    ];
  const more = text.length - TEXT_LENGTH_MAX;
  return [
    paint('dim', heading),
    ...printableLines(text.slice(0, TEXT_LENGTH_MAX)).map((line) => INDENT + line),
    ...(more > 0 ? [paint('dim', `${INDENT}… and ${count(more)} more characters`)] : []),
  ];
}

/** A text of several lines that cannot steer the terminal. */
export const printableLines = (text: string): string[] =>
  text
    .replaceAll(/\r\n?/g, '\n')
    .split('\n')
    .map((line) => printable(line.replaceAll('\t', '    ')));
