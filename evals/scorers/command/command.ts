import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { explaining, type Scored, type ScoredItem, type Scorer, ScorerError } from '../scorer.ts';
import type { ScorerServices } from '../services.ts';
import { type Ended, run } from './run.ts';
import { openSandbox, type Sandbox } from './sandbox.ts';
import type { CommandSettings } from './settings.ts';

/**
 * A command that tests an answer: its exit code is the score, or the last line that it writes.
 *
 * It runs in a sandbox, in a fresh folder that goes away, with the answer on stdin and in `output.txt`, what was expected
 * in `expected.txt` and the question in `input.txt`. Of our environment it has PATH and what the suite names.
 *
 * What an answer brings about is its score: a test that fails, crashes, runs into its time or its limits, or writes
 * without end is 0, since that is what wrong programs do. What is no fault of the answer is an error: no sandbox, no
 * such program (exit codes 126 and 127), no score in the last line, scoring being stopped.
 *
 * The command is the judge. One that runs an answer's code inside its own process lets that code end it with exit
 * code 0; it should start it as a process of its own and judge what comes back.
 */
export function command(
  { command: settings }: { command: CommandSettings },
  directory: string,
  services: ScorerServices,
): Scorer {
  const closing = new AbortController();
  const argv = settings.run.map((part) => (/^\.\.?\//.test(part) ? resolve(directory, part) : part));
  let sandbox: Promise<Sandbox> | undefined;

  return explaining(
    async (output, expected, item) => {
      sandbox ??= openSandbox(settings, pathOf(services));
      const { wrap, isolated, uid } = await sandbox;
      const folder = await makeFolder(uid, { output, expected, item });
      try {
        const ended = await run({
          argv: wrap(argv),
          stdin: output,
          cwd: folder,
          env: environment(folder, settings, services),
          timeoutMs: settings.timeout_s * 1000,
          memoryBytesMax: settings.memory_mb * 1_048_576,
          signal: closing.signal,
        });
        const scored = scoreOf(ended, settings);
        return isolated ? scored : { ...scored, flags: [...(scored.flags ?? []), 'not_isolated'] };
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    { close: async () => closing.abort() },
  );
}

const READABLE = 0o644;

async function makeFolder(
  uid: number | undefined,
  { output, expected, item }: { output: string; expected: string; item: ScoredItem | undefined },
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'loopscope-command-'));
  await writeFile(join(folder, 'output.txt'), output, { mode: READABLE });
  await writeFile(join(folder, 'expected.txt'), expected, { mode: READABLE });
  await writeFile(join(folder, 'input.txt'), item?.input ?? '', { mode: READABLE });
  if (uid !== undefined) await chown(folder, uid, uid);
  return folder;
}

const pathOf = ({ keyOf }: ScorerServices) => keyOf('PATH') ?? '/usr/local/bin:/usr/bin:/bin';

function environment(
  folder: string,
  { env }: CommandSettings,
  services: ScorerServices,
): Record<string, string> {
  const own = { PATH: pathOf(services), HOME: folder, TMPDIR: folder, LANG: 'C.UTF-8' };
  const named = env.flatMap((name) => {
    const value = services.keyOf(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...own, ...Object.fromEntries(named) };
}

const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;

function scoreOf({ end, stdout, stderr }: Ended, settings: CommandSettings): Scored {
  const said = lastLine(stderr) || lastLine(stdout);
  const because = (why: string) => (said === '' ? why : `${why}: ${said}`);
  switch (end.how) {
    case 'not_started':
      throw new ScorerError('command_not_run', end.why);
    case 'stopped':
      throw new ScorerError('scoring_stopped', 'scoring was stopped while the command ran');
    case 'timeout':
      return { score: 0, reason: because(`not done within ${settings.timeout_s} s`), flags: ['timeout'] };
    case 'output_limit':
      return { score: 0, reason: 'wrote without end', flags: ['output_limit'] };
    case 'memory_limit':
      return { score: 0, reason: `took more than ${settings.memory_mb} MB`, flags: ['memory_limit'] };
    case 'killed':
      return { score: 0, reason: because(`ended by ${end.by}`) };
    case 'exited':
      if (end.code === NOT_FOUND || end.code === NOT_EXECUTABLE)
        throw new ScorerError('command_not_run', because(`exit code ${end.code}`));
      if (end.code !== 0) return { score: 0, reason: because(`exit code ${end.code}${signalOf(end.code)}`) };
      return settings.score === 'exit_code' ? { score: 1, reason: '' } : scoreOfLastLine(stdout);
  }
}

/** The signal of an exit code, by the convention of shells. */
function signalOf(code: number): string {
  const name = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
  return name ? ` (${name})` : '';
}

function scoreOfLastLine(stdout: string): Scored {
  const line = lastLine(stdout);
  const score = Number(line);
  if (line !== '' && score >= 0 && score <= 1) return { score, reason: '' };
  throw new ScorerError(
    'command_gave_no_score',
    `expected a number from 0 to 1 in the last line of stdout, found ${JSON.stringify(line)}`,
  );
}

const LINE_SHOWN_MAX = 200;

const lastLine = (text: string) => (text.trimEnd().split('\n').at(-1) ?? '').trim().slice(0, LINE_SHOWN_MAX);
