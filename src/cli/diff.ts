import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { LoopscopeError } from '../errors.ts';
import { areAlike, diffRecordings } from '../replay/diff/diff.ts';
import { diffDocument } from '../replay/diff/document.ts';
import { diffPage } from '../replay/diff/html/page.ts';
import { readRule } from '../replay/play/normalise.ts';
import type { CliContext } from './context.ts';
import { findRecording } from './diff-sides.ts';
import { tellDiff } from './diff-text.ts';

interface Options {
  loop?: string;
  html?: string;
  all?: boolean;
  rule?: string[];
}

/** `diff`: two runs side by side. Exit code 1 where something differs that counts. */
export function add(program: Command, context: CliContext): void {
  program
    .command('diff')
    .description('hold a run against another: where they first differ, and in what')
    .argument(
      '<run>',
      'a: a run id, a replay id, a trace id, or a cassette (FILE, or FILE#RUN where it has several)',
    )
    .argument('<other>', 'b: what is held against it')
    .option('--loop <loop>', 'the loop whose runs are meant, where several have one of that id')
    .option('--html <file>', 'write it as one HTML file that stands alone')
    .option('--all', 'differences of ids and times count too')
    .option('--rule <name=regex>', 'what else is volatile, as in `replay`; may be given again', collect)
    .addHelpText(
      'after',
      '\nExamples:\n  loopscope diff r-000122 r-000123 --loop primes\n  loopscope diff before.jsonl after.jsonl --html incident.html',
    )
    .action(async (first: string, second: string, { loop, html, all, rule = [] }: Options) => {
      const rules = rule.map(readRule);
      const a = await findRecording(context, first, loop);
      const b = await findRecording(context, second, loop);
      const diff = diffRecordings(a, b, { rules, all });
      if (html !== undefined) writePage(html, diffPage(diff));
      context.show(diffDocument(diff), () => tellDiff(context.out, diff));
      if (html !== undefined) context.out.note(`Written to ${html}.`);
      if (!areAlike(diff)) context.exitCode = 1;
    });
}

const collect = (value: string, before: string[] = []): string[] => [...before, value];

function writePage(file: string, page: string): void {
  try {
    writeFileSync(file, page);
  } catch (error) {
    throw new LoopscopeError('bad_input', `--html: cannot write ${file}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
