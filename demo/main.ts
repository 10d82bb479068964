import { parseArgs } from 'node:util';
import { LoopscopeError } from '../src/errors.ts';
import { type DemoOptions, runDemo } from './demo.ts';

const HELP = `Usage: npm run demo -- [options]

Starts everything, plays the traffic of Northwind's eleven loops through the gateway and tells what happens. On the
way the model behind the dependency-bump loop is swapped for another under the same name, and its checker does not
notice. Loopscope should page once, about that loop and no other.

Options:
  --exit         end once the story is told (otherwise all of it stays up to look at, until Ctrl-C)
  --json         print the outcome as one JSON document, {alerts, loops, truth}; the story goes to stderr
  --seed N       the same story with other dice (default 1)
  --data FILE    dependency-bump gives the answers in LLMDrift's PRIME_FULL_EVAL.csv: GPT-4 of March 2023, then of June
  --help         this text
`;

/** The command line, or `undefined` when it asks for help. Throws `usage`. */
function readOptions(argv: string[]): DemoOptions | undefined {
  let values: { exit: boolean; json: boolean; seed: string; data?: string; help: boolean };
  try {
    ({ values } = parseArgs({
      args: argv,
      options: {
        exit: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        seed: { type: 'string', default: '1' },
        data: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }));
  } catch (error) {
    throw new LoopscopeError('usage', `${(error as Error).message}\n\n${HELP}`);
  }
  const seed = Number(values.seed);
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new LoopscopeError('usage', `--seed: expected a whole number from 0 up, found "${values.seed}".`);
  return values.help ? undefined : { ...values, seed };
}

try {
  const options = readOptions(process.argv.slice(2));
  if (options) process.exitCode = await runDemo(options);
  else process.stdout.write(HELP);
} catch (error) {
  if (!(error instanceof LoopscopeError)) throw error;
  process.stderr.write(`demo: ${error.message}\n`);
  process.exitCode = error.exitCode;
}
