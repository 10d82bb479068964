import type { Command } from 'commander';
import { scorerServices } from '../../evals/scorers/services.ts';
import { collectorAuthorities, fetchTrusting } from '../collector-trust.ts';
import { type ImportResult, importRecords } from '../records/import.ts';
import type { CliContext } from './context.ts';
import { count } from './format.ts';
import { suiteScorers } from './suite-scorers.ts';

/** `import`: run records as history, through the collector. */
export function add(program: Command, context: CliContext): void {
  program
    .command('import')
    .description('load run records as history, through the collector; exit code 1 when a line was bad')
    .argument('<file>', 'run records, one JSON object a line')
    .addHelpText(
      'after',
      '\nExample:\n  loopscope import runs.jsonl\n\nThe same file again stores nothing twice.',
    )
    .action(async (file: string) => {
      const result = await load(context, file);
      const { loaded, bad, unscored } = result;
      for (const { line, error } of [...bad, ...unscored]) context.out.note(`${file}:${line}: ${error}`);
      if (bad.length > 0 || unscored.length > 0) context.exitCode = 1;
      context.show({ loaded, bad, unscored }, () => {
        context.out.line(`${count(loaded)} records loaded`);
        if (bad.length > 0)
          context.out.line(context.out.paint('red', `${count(bad.length)} bad lines were not`));
        if (unscored.length > 0)
          context.out.line(
            context.out.paint('red', `${count(unscored.length)} have no golden score: their scorer failed`),
          );
      });
    });
}

async function load(context: CliContext, file: string): Promise<ImportResult> {
  const registry = context.registry();
  const scorers = suiteScorers(
    registry,
    context.suites(),
    scorerServices(context.config(), context.clock, context.endpoints()?.gateway),
  );
  try {
    return await importRecords(file, {
      collectorUrl: context.collectorUrl(),
      token: context.config().collector.token,
      fetch: fetchTrusting(collectorAuthorities(context.config().collector)),
      scorerFor: scorers.scorerFor,
      isRegistered: (loop) => registry.loop(loop) !== undefined,
      clock: context.clock,
      onProgress: ({ lines, loaded, bad }) =>
        context.out.progress(
          `${count(lines)} lines read, ${count(loaded)} records stored, ${count(bad)} bad`,
        ),
    });
  } finally {
    context.out.progress('');
    await scorers.close();
  }
}
