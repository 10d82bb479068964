import { parseArgs } from 'node:util';
import { bench as collector } from './collector.ts';
import { bench as detect } from './detect.ts';
import { bench as fleet } from './fleet.ts';
import { bench as gateway } from './gateway.ts';
import type { Bench } from './harness/bench.ts';
import { machine } from './harness/machine.ts';
import { jsonLine, tableText } from './harness/report.ts';
import { bench as overload } from './overload.ts';
import { bench as query } from './query.ts';
import { bench as replay } from './replay.ts';
import { bench as soak } from './soak.ts';

/**
 * `npm run bench NAME [-- --json --rounds N --seconds S …]`. Results go to stdout, everything else to stderr.
 * Exit codes: 0 measured, 1 the benchmark failed, 2 wrong usage.
 */
const BENCHES: readonly Bench[] = [detect, fleet, gateway, collector, overload, replay, soak, query];
const ROUNDS = 5;

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  const name = argv.find((arg) => !arg.startsWith('-'));
  const bench = BENCHES.find((b) => b.name === name);
  if (!bench) {
    const known = BENCHES.map((b) => `  ${b.name.padEnd(10)} ${b.summary}`).join('\n');
    const help = name === undefined;
    if (help) console.log(`npm run bench NAME [-- FLAGS]   (NAME --help shows its flags)\n\n${known}`);
    else console.error(`There is no benchmark "${name}". There are:\n${known}`);
    return help ? 0 : 2;
  }
  const read = readFlags(bench, argv);
  if (read === 'help') {
    console.log(usage(bench));
    return 0;
  }
  if (typeof read === 'string') {
    console.error(`${read}\n${usage(bench)}`);
    return 2;
  }
  const measured = await bench.run({
    ...read,
    progress: (text) => console.error(`${bench.name}: ${text}`),
  });
  const report = { name: bench.name, machine: machine(), ...measured };
  console.log(read.json ? jsonLine(report) : tableText(report));
  return 0;
}

interface Flags {
  json: boolean;
  rounds: number;
  seconds: number;
  flags: Record<string, number>;
  lists: Record<string, number[]>;
}

/** The flags, `'help'`, or what is wrong with them. */
function readFlags(bench: Bench, argv: readonly string[]): Flags | string {
  const text = { type: 'string' } as const;
  const own = Object.keys(bench.flags);
  const ownLists = Object.entries(bench.lists ?? {});
  let values: Record<string, string | boolean | undefined>;
  try {
    const options = {
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
      rounds: text,
      seconds: text,
      ...Object.fromEntries(own.map((flag) => [flag, text])),
      ...Object.fromEntries(ownLists.map(([flag]) => [flag, text])),
    } as const;
    const parsed = parseArgs({ args: [...argv], options, allowPositionals: true });
    if (parsed.positionals.length > 1) return `expected one benchmark, got ${parsed.positionals.join(' ')}`;
    values = parsed.values;
  } catch (error) {
    return (error as Error).message;
  }
  if (values['help']) return 'help';
  const rounds = Number(values['rounds'] ?? ROUNDS);
  if (!(Number.isInteger(rounds) && rounds >= 1))
    return `--rounds: expected a positive whole number, got ${values['rounds']}`;
  const seconds = Number(values['seconds'] ?? bench.seconds);
  if (!(seconds > 0 && seconds <= 3600))
    return `--seconds: expected a number above 0, at most 3600, got ${values['seconds']}`;
  const flags: Record<string, number> = {};
  for (const flag of own) {
    const value = Number(values[flag] ?? bench.flags[flag]!.default);
    if (!(Number.isSafeInteger(value) && value >= 1))
      return `--${flag}: expected a positive whole number, got ${values[flag]}`;
    flags[flag] = value;
  }
  const lists: Record<string, number[]> = {};
  for (const [flag, { default: standard }] of ownLists) {
    const list = values[flag] === undefined ? [...standard] : String(values[flag]).split(',').map(Number);
    if (!list.every((value) => value > 0 && Number.isFinite(value)))
      return `--${flag}: expected positive numbers such as ${standard.join(',')}, got ${values[flag]}`;
    lists[flag] = list;
  }
  return { json: values['json'] === true, rounds, seconds, flags, lists };
}

function usage(bench: Bench): string {
  const rows: [string, string][] = [
    ['--json', 'print one line of JSON'],
    ['--rounds N', `rounds to take medians over (${ROUNDS}; fewer is for trying out)`],
    ['--seconds S', `length of one measurement (${bench.seconds})`],
    ...Object.entries(bench.flags).map(
      ([flag, { help, default: value }]) => [`--${flag} N`, `${help} (${value})`] as [string, string],
    ),
    ...Object.entries(bench.lists ?? {}).map(
      ([flag, { help, default: list }]) =>
        [`--${flag} N,N`, `${help} (${list.join(',')})`] as [string, string],
    ),
  ];
  const width = Math.max(...rows.map(([flag]) => flag.length));
  const lines = rows.map(([flag, help]) => `  ${flag.padEnd(width)}  ${help}`);
  return `${bench.name}: ${bench.summary}\n\nnpm run bench ${bench.name} -- FLAGS\n${lines.join('\n')}`;
}
