import type { Command } from 'commander';
import { importGolden } from '../../evals/golden.ts';
import { type Dataset, listDatasets } from '../store/golden.ts';
import { requireName } from './arguments.ts';
import type { CliContext } from './context.ts';
import { count, time } from './format.ts';
import { addFromRuns } from './golden-from-runs.ts';
import { type Column, table } from './table.ts';

/** `golden`: inputs with a known right answer. */
export function add(program: Command, context: CliContext): void {
  const golden = program.command('golden').description('import golden data, make it of runs, and list it');
  golden
    .command('import')
    .description('make a file the version in force of a dataset; a bad line refuses all of it')
    .argument('<file>', 'JSON lines {"input", "expected", "id"?, "tags"?}, or a .csv with such a header')
    .requiredOption('--dataset <name>', 'the dataset it becomes')
    .addHelpText('after', '\nExample:\n  loopscope golden import primes.jsonl --dataset primes')
    .action(async (path: string, { dataset }: { dataset: string }) => {
      requireName('--dataset', dataset);
      const result = await importGolden({ store: context.store(), clock: context.clock }, { path, dataset });
      const what = `${dataset} ${result.version}, ${count(result.items)} items`;
      context.show(result, () =>
        context.out.line(result.changed ? `imported ${what}` : `${what}: in force already, nothing to do`),
      );
    });
  addFromRuns(golden, context);
  golden
    .command('list')
    .description('list the datasets, each with its version in force')
    .addHelpText('after', '\nExample:\n  loopscope golden list --json')
    .action(async () => {
      const datasets = await listDatasets(context.store());
      context.show({ datasets }, () => {
        if (datasets.length === 0)
          context.out.note('No golden data yet. `loopscope golden import FILE --dataset NAME` brings some.');
        else for (const line of table(context.out.paint, COLUMNS, datasets)) context.out.line(line);
      });
    });
}

const COLUMNS: readonly Column<Dataset>[] = [
  { header: 'dataset', cell: (d) => d.dataset },
  { header: 'version', cell: (d) => d.version },
  { header: 'items', align: 'right', cell: (d) => count(d.items) },
  { header: 'imported (UTC)', cell: (d) => time(Date.parse(d.imported_at)) },
];
