import { type Command, InvalidArgumentError } from 'commander';
import { label, Rater } from '../../evals/labels/label.ts';
import { LoopscopeError } from '../errors.ts';
import type { LabelRow } from '../store/labels.ts';
import { loopsSeen } from '../store/runs.ts';
import { loopsWithRun } from '../store/traces.ts';
import { requireKnownLoop } from './arguments.ts';
import type { CliContext } from './context.ts';
import { decimal, iso } from './format.ts';
import { keysOf } from './label-keys.ts';
import { showLabels } from './label-list.ts';
import { labelSession, sessionText } from './label-session.ts';
import { loginName } from './login-name.ts';

interface Options {
  loop?: string;
  rater?: string;
  score?: number;
  withdraw?: boolean;
  comment?: string;
  showVerdict?: boolean;
}

/** `label`: what people say of runs. */
export function add(program: Command, context: CliContext): void {
  const command = program
    .command('label')
    .description('judge runs: one after the other at a terminal, or one by name')
    .argument('[run]', 'label this run, with --score or --withdraw')
    .option('--loop <loop>', 'only runs of this loop')
    .option('--rater <name>', 'who judges (default: the name you are logged in by)')
    .option('--score <score>', 'pass, fail, or a number from 0 to 1', score)
    .option('--comment <text>', 'why')
    .option('--withdraw', 'take back what the rater said of the run')
    .option('--show-verdict', 'show what the checker said before you judge')
    .addHelpText(
      'after',
      '\nExamples:\n  loopscope label --loop primes\n  loopscope label r-000123 --loop primes --score fail --comment "17077 is prime"\n  loopscope label list',
    )
    .action((run: string | undefined, options: Options) =>
      run === undefined ? judge(context, options) : labelOne(context, run, options),
    );
  command
    .command('list')
    .description('show which runs wait to be judged, and how far those who judge agree')
    .option('--loop <loop>', 'only this loop')
    .addHelpText('after', '\nExample:\n  loopscope label list --json')
    // Commander gives an option that both commands have to the one above.
    .action((_, subcommand: Command) => showLabels(context, subcommand.optsWithGlobals<Options>().loop));
}

function score(text: string): number {
  if (text === 'pass') return 1;
  if (text === 'fail') return 0;
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 1))
    throw new InvalidArgumentError('Expected pass, fail, or a number from 0 to 1.');
  return value;
}

async function judge(
  context: CliContext,
  { loop, rater, showVerdict = false, ...rest }: Options,
): Promise<void> {
  if (rest.score !== undefined || rest.withdraw || rest.comment !== undefined)
    throw new LoopscopeError(
      'usage',
      '--score, --comment and --withdraw are of one run: `loopscope label RUN --score pass`.',
    );
  if (context.json || !process.stdin.isTTY)
    throw new LoopscopeError(
      'usage',
      'Judging runs one after the other takes a terminal. Elsewhere: `loopscope label list --json`, then `loopscope label RUN --score pass`.',
    );
  const { out, clock } = context;
  const store = context.store();
  if (loop !== undefined) requireKnownLoop(context, loop, await loopsSeen(store));
  const suites = context.suites();
  process.stdin.setRawMode(true);
  try {
    const result = await labelSession({
      store,
      clock,
      out,
      keys: keysOf(process.stdin),
      rater: raterOf(rater),
      loop,
      showVerdict,
      datasetsOf: (of) => suites.filter((suite) => suite.loop === of).map((suite) => suite.dataset),
    });
    out.line(sessionText(result));
  } finally {
    process.stdin.setRawMode(false);
    process.stdin.destroy();
  }
}

async function labelOne(context: CliContext, run: string, options: Options): Promise<void> {
  if ((options.score === undefined) === (options.withdraw === undefined))
    throw new LoopscopeError('usage', 'expected one of --score and --withdraw.');
  const row = await label(
    { store: context.store(), clock: context.clock },
    {
      loop: await loopOf(context, run, options.loop),
      runId: run,
      rater: raterOf(options.rater),
      score: options.score ?? null,
      comment: options.comment,
    },
  );
  context.show({ label: document(row) }, () =>
    context.out.line(
      row.score === null
        ? `${row.loop} ${row.run_id}: what ${row.rater} said is taken back`
        : `${row.loop} ${row.run_id} labelled ${decimal(row.score)} by ${row.rater}`,
    ),
  );
}

const document = ({ run_id, labelled_at, ...row }: LabelRow) => ({
  ...row,
  run: run_id,
  labelled_at: iso(labelled_at),
});

/** The loop whose run is meant. Throws `not_found`, or `usage` where it could be several. */
async function loopOf(context: CliContext, run: string, loop: string | undefined): Promise<string> {
  if (loop !== undefined) return loop;
  const loops = await loopsWithRun(context.store(), run);
  if (loops.length > 1)
    throw new LoopscopeError(
      'usage',
      `Several loops have a run "${run}": ${loops.join(', ')}. Say which with --loop.`,
    );
  if (loops.length === 0)
    throw new LoopscopeError('not_found', `There is no run "${run}". \`loopscope runs\` lists the latest.`);
  return loops[0]!;
}

function raterOf(given: string | undefined): string {
  const rater = given ?? loginName();
  const result = Rater.safeParse(rater);
  if (result.success) return result.data;
  throw new LoopscopeError(
    'usage',
    `--rater: ${result.error.issues[0]!.message}; found ${JSON.stringify(rater)}.`,
  );
}
