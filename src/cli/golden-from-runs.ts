import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { addGolden } from '../../evals/golden.ts';
import { LoopscopeError } from '../errors.ts';
import { listAlerts } from '../store/alerts.ts';
import { loadIndex } from '../store/golden.ts';
import { loopsWithRun } from '../store/traces.ts';
import { requireName } from './arguments.ts';
import type { CliContext } from './context.ts';
import { count } from './format.ts';
import { type Candidate, candidatesOf, type Unusable } from './golden-candidates.ts';
import { goldenSession, itemOf, originTags, sessionText } from './golden-session.ts';
import { keysOf } from './label-keys.ts';

interface Options {
  dataset: string;
  loop?: string;
  alert?: string;
  review?: string;
}

const RUNS_MAX = 1_000;

/** `golden from-runs`: golden items of runs that happened, each with an answer that a person says is right. */
export function addFromRuns(golden: Command, context: CliContext): void {
  golden
    .command('from-runs')
    .description('make golden items of runs; a person says of each what the right answer is')
    .argument('[runs...]', 'runs of one loop')
    .requiredOption('--dataset <name>', 'the dataset they are added to')
    .option('--loop <loop>', 'the loop whose runs are meant, where several have some of that id')
    .option('--alert <alert>', 'the runs that this alert points at')
    .option(
      '--review <file>',
      'write a file for `golden import` in place of asking here: the right answers are to be filled in',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  loopscope golden from-runs r-000123 r-000124 --loop primes --dataset primes\n  loopscope golden from-runs --alert ALERT --dataset primes --review review.jsonl\n\nThe file of --review has the items there are, and the new ones with `"expected": null` and what was `answered`.\n`golden import` refuses it until each `expected` is filled in, or its line is deleted.',
    )
    .action((runs: string[], options: Options) => fromRuns(context, runs, options));
}

async function fromRuns(context: CliContext, runs: string[], options: Options): Promise<void> {
  const { dataset, alert, review } = options;
  requireName('--dataset', dataset);
  if (review === undefined && (context.json || !process.stdin.isTTY))
    throw new LoopscopeError(
      'usage',
      'To say what is right takes a terminal. Elsewhere: --review FILE writes what there is to be said, for `golden import`.',
    );
  const { loop, runIds } = await meant(context, runs, options);
  const { candidates, unusable } = await candidatesOf(context.store(), { loop, runIds, dataset });
  const tags = (candidate: Candidate) => originTags(candidate, alert);
  if (review !== undefined) return writeReview(context, review, { dataset, candidates, unusable, tags });

  const { out } = context;
  for (const { runId, why } of unusable) out.note(`${runId} is left out: ${why}`);
  process.stdin.setRawMode(true);
  try {
    const items = await goldenSession({ out, keys: keysOf(process.stdin), candidates, tags });
    out.line(sessionText(dataset, items.length, candidates.length));
    if (items.length === 0) return;
    const { version, added, replaced } = await addGolden(
      { store: context.store(), clock: context.clock },
      { dataset, items },
    );
    out.line(`${dataset} ${version}: ${count(added)} added, ${count(replaced)} replaced`);
  } finally {
    process.stdin.setRawMode(false);
    process.stdin.destroy();
  }
}

/** The runs that are meant, and their loop. Throws `usage` and `not_found`. */
async function meant(
  context: CliContext,
  runs: readonly string[],
  { loop, alert }: Options,
): Promise<{ loop: string; runIds: string[] }> {
  const store = context.store();
  if ((alert === undefined) === (runs.length === 0))
    throw new LoopscopeError('usage', 'expected runs, or --alert ALERT, and not both.');
  if (alert !== undefined) {
    const found = (await listAlerts(store, { loop })).find(({ alert_id }) => alert_id === alert);
    const { look_at = [] } = (found?.evidence ?? {}) as { look_at?: string[] };
    if (!found || look_at.length === 0)
      throw new LoopscopeError(
        'not_found',
        found
          ? `Alert ${alert} points at no run.`
          : `There is no alert "${alert}". \`loopscope alerts\` lists them.`,
      );
    return { loop: found.loop, runIds: look_at };
  }
  if (runs.length > RUNS_MAX)
    throw new LoopscopeError('usage', `expected at most ${RUNS_MAX} runs at once, found ${runs.length}.`);
  if (loop !== undefined) return { loop, runIds: [...runs] };
  const loops = await loopsWithRun(store, runs[0]!);
  if (loops.length === 1) return { loop: loops[0]!, runIds: [...runs] };
  throw loops.length === 0
    ? new LoopscopeError('not_found', `There is no run "${runs[0]}". \`loopscope runs\` lists the latest.`)
    : new LoopscopeError(
        'usage',
        `Several loops have a run "${runs[0]}": ${loops.join(', ')}. Say which with --loop.`,
      );
}

interface Review {
  dataset: string;
  candidates: readonly Candidate[];
  unusable: readonly Unusable[];
  tags: (candidate: Candidate) => string[];
}

async function writeReview(
  context: CliContext,
  path: string,
  { dataset, candidates, unusable, tags }: Review,
): Promise<void> {
  const index = await loadIndex(context.store(), dataset);
  const known = [...(index?.byItem.values() ?? [])].map(({ item_id, input, expected, tags }) => ({
    id: item_id,
    input,
    expected,
    tags,
  }));
  // An item that is there has its right answer; a run of it has nothing to add.
  const open = candidates.filter(({ run }) => run.expected === null);
  const fresh = open.map((candidate) => ({
    ...itemOf(candidate, tags(candidate)),
    answered: candidate.output,
    expected: null,
  }));
  const lines = [...known, ...fresh].map((item) => `${JSON.stringify(item)}\n`);
  try {
    writeFileSync(path, lines.join(''), { flag: 'wx' });
  } catch (error) {
    throw new LoopscopeError('bad_input', `${path}: cannot be written: ${(error as Error).message}`);
  }
  const left = candidates.length - open.length;
  context.show(
    { dataset, file: path, known: known.length, to_review: fresh.length, already_there: left, unusable },
    () => {
      for (const { runId, why } of unusable) context.out.note(`${runId} is left out: ${why}`);
      if (left > 0) context.out.note(`${count(left)} runs have an item with a right answer already`);
      context.out.line(
        `${path}: ${count(fresh.length)} items to review, ${count(known.length)} that are there. Fill in each "expected" or delete its line, then: loopscope golden import ${path} --dataset ${dataset}`,
      );
    },
  );
}
