import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { collectorAuthorities, fetchTrusting } from '../collector-trust.ts';
import { LoopscopeError } from '../errors.ts';
import { CASSETTE_LIMITS } from '../replay/record/cassette.ts';
import { readCassette } from '../replay/record/cassette-read.ts';
import { cassetteLines } from '../replay/record/cassette-write.ts';
import { RECORD_SCOPE } from '../replay/record/from-spans.ts';
import { importRecordings } from '../replay/record/import.ts';
import { depthOf } from '../replay/record/json-depth.ts';
import { redactRecordings } from '../replay/record/redact.ts';
import type { Rule } from '../replay/record/secrets.ts';
import { trajectoryToRecording } from '../replay/record/trajectories.ts';
import type { Recording } from '../replay/recording.ts';
import { runsOfProduction } from '../store/recordings.ts';
import { requireName } from './arguments.ts';
import type { CliContext } from './context.ts';
import { findRecording } from './diff-sides.ts';
import { count } from './format.ts';

/** `record`: runs as files, to be attached to a ticket and replayed elsewhere. */
export function add(program: Command, context: CliContext): void {
  const record = program
    .command('record')
    .description('write runs to a file, and take runs from one')
    .addHelpText('after', '\n`loopscope replay --from FILE` replays such a file without anything running.');
  record
    .command('export')
    .description('write runs to a cassette, one file with all that a replay needs, without secrets')
    .argument('<run...>', 'ids of runs, replays or traces')
    .option('--loop <loop>', 'the loop whose runs are meant, where several have one of that id')
    .option('--out <file>', 'where to write it (default: to stdout)')
    .option('--no-redact', 'leave everything as it was said')
    .option('--rule <name=regex>', 'one more kind of secret; may be given again', collect, [])
    .addHelpText('after', EXPORT_HELP)
    .action((runs: string[], options: ExportOptions) => exportRuns(context, runs, options));
  record
    .command('import')
    .description('take the runs of a cassette, or of a list of trajectories, as runs of a loop')
    .argument('<file>', 'a cassette, or a JSON list of {task_id, trial, reward, traj: [chat messages]}')
    .option('--loop <loop>', "the loop they become runs of (default: the cassette's; trajectories name none)")
    .option('--model <model>', 'of trajectories, which do not say: the model that answered')
    .addHelpText('after', IMPORT_HELP)
    .action((file: string, options: ImportOptions) => importFile(context, file, options));
}

const EXPORT_HELP = `
Examples:
  loopscope record export r-000123 --loop primes > bug.cassette
  loopscope record export r-000123 --rule 'customer=CU-\\d{6}' --out bug.cassette

Replaced, the same by the same everywhere, are keys and tokens, passwords that are named or in URLs, mail addresses, card
and telephone numbers, and long random strings. Not found are names, postal addresses, dates of birth, account numbers,
internet addresses, what is in pictures, and secrets that look like words: read the file before you pass it on.`;

const IMPORT_HELP = `
Examples:
  loopscope record import bug.cassette
  loopscope record import gpt-4o-airline.json --loop airline --model gpt-4o

A file with a bad line is not imported at all. The same file again stores nothing twice.`;

const collect = (value: string, before: string[]): string[] => [...before, value];

interface ExportOptions {
  loop?: string;
  out?: string;
  redact: boolean;
  rule: string[];
}

async function exportRuns(context: CliContext, ids: string[], options: ExportOptions): Promise<void> {
  const { loop, out, redact } = options;
  const rules = options.rule.map(ruleOf);
  if (rules.length > 0 && !redact)
    throw new LoopscopeError(
      'usage',
      '--rule says what to replace, and --no-redact to replace nothing: give one of them.',
    );
  if (context.json && out === undefined)
    throw new LoopscopeError(
      'usage',
      'A cassette is JSON lines itself. With --json say --out FILE where it goes.',
    );
  const recordings: Recording[] = [];
  for (const id of new Set(ids)) recordings.push(await findRecording(context, id, loop));
  const redacted = redact
    ? redactRecordings(recordings, rules)
    : { recordings, counts: new Map<string, number>() };
  const lines = cassetteLines(redacted.recordings);
  if (out === undefined) for (const line of lines) context.out.line(line.trimEnd());
  else await write(out, lines);
  const replaced = [...redacted.counts].map(([kind, n]) => ({ kind, secrets: n }));
  const gaps = redacted.recordings.flatMap(({ run, gaps }) => gaps.map((gap) => ({ run, ...gap })));
  for (const { run, message, why } of gaps) if (why !== 'redacted') context.out.note(`${run}: ${message}`);
  context.out.note(
    redact
      ? `Replaced: ${replaced.map(({ kind, secrets }) => `${count(secrets)} ${kind}`).join(', ') || 'nothing'}. Names, addresses and secrets that look like words are not found: read it before you pass it on.`
      : 'Nothing was redacted: the file has all that was said, secrets too.',
  );
  if (out !== undefined)
    context.show(
      { file: out, runs: recordings.map(({ loop, run }) => ({ loop, run })), replaced, gaps },
      () =>
        context.out.line(
          `${count(recordings.length)} ${recordings.length === 1 ? 'run' : 'runs'} written to ${out}`,
        ),
    );
}

async function write(file: string, lines: Iterable<string>): Promise<void> {
  try {
    await writeFile(file, lines, { mode: 0o600 });
  } catch (error) {
    throw new LoopscopeError('bad_input', `${file}: cannot be written: ${(error as Error).message}`);
  }
}

/** `NAME=REGEX`. Throws `usage`. */
function ruleOf(text: string): Rule {
  const [, name, source] = /^([A-Za-z][\w-]{0,31})=(.+)$/s.exec(text) ?? [];
  const expected = `--rule ${text}: expected NAME=REGEX, such as customer=CU-\\d{6}`;
  if (name === undefined || source === undefined) throw new LoopscopeError('usage', `${expected}.`);
  let pattern: RegExp;
  try {
    pattern = new RegExp(source, 'g');
  } catch (error) {
    throw new LoopscopeError('usage', `${expected}; ${(error as Error).message}.`);
  }
  if (new RegExp(source).test(''))
    throw new LoopscopeError('usage', `${expected}; this one matches nothing at all as well.`);
  return { name, pattern };
}

interface ImportOptions {
  loop?: string;
  model?: string;
}

async function importFile(context: CliContext, file: string, options: ImportOptions): Promise<void> {
  const recordings = await readRecordings(file, options);
  const replay = recordings.find(({ replayOf }) => replayOf !== null);
  if (replay)
    throw new LoopscopeError(
      'bad_input',
      `${file}: ${replay.run} is the replay of ${replay.replayOf}, and no run of its loop. \`loopscope diff\` and \`replay --from\` read it as it is.`,
    );
  const registry = context.registry();
  for (const [loop, runs] of Map.groupBy(recordings, (recording) => recording.loop)) {
    const runIds = runs.map(({ run }) => run);
    const [known] = await runsOfProduction(context.store(), { loop, runIds, scope: RECORD_SCOPE });
    if (known !== undefined)
      throw new LoopscopeError(
        'bad_input',
        `Loop "${loop}" had a run "${known}" itself: imported, it would count twice. Say another loop with --loop.`,
      );
  }
  const silent = [...new Set(recordings.map(({ loop }) => loop))].filter(
    (loop) => (registry.loop(loop)?.capture ?? 'full') !== 'full',
  );
  for (const loop of silent)
    context.out.note(
      `Loop "${loop}" does not keep content (\`capture\` in its file): what was said is not kept of these runs either.`,
    );
  await importRecordings(recordings, {
    collectorUrl: context.collectorUrl(),
    token: context.config().collector.token,
    fetch: fetchTrusting(collectorAuthorities(context.config().collector)),
    isRegistered: (loop) => registry.loop(loop) !== undefined,
    clock: context.clock,
    onProgress: (runs) => context.out.progress(`${count(runs)} of ${count(recordings.length)} runs stored`),
  });
  context.out.progress('');
  const steps = recordings.reduce((sum, recording) => sum + recording.steps.length, 0);
  context.show({ runs: recordings.map(({ loop, run }) => ({ loop, run })), steps }, () =>
    context.out.line(
      `${count(recordings.length)} ${recordings.length === 1 ? 'run' : 'runs'} imported, with ${count(steps)} steps`,
    ),
  );
}

/** What a file has, by what it begins with. Throws `not_found`, `bad_input` or `usage`. */
async function readRecordings(file: string, { loop, model }: ImportOptions): Promise<Recording[]> {
  if (loop !== undefined) requireName('--loop', loop);
  if (firstCharacter(file) !== '[') {
    const recordings = await readCassette(file);
    return loop === undefined ? recordings : recordings.map((recording) => ({ ...recording, loop }));
  }
  if (loop === undefined)
    throw new LoopscopeError('usage', `${file} has trajectories, which name no loop: say which with --loop.`);
  return await readTrajectories(file, loop, model);
}

const TRAJECTORIES_BYTES_MAX = 256 * 1024 * 1024;
const BAD_MAX = 20;

async function readTrajectories(file: string, loop: string, model: string | undefined): Promise<Recording[]> {
  const { size } = statSync(file);
  if (size > TRAJECTORIES_BYTES_MAX)
    throw new LoopscopeError(
      'bad_input',
      `${file}: expected at most ${TRAJECTORIES_BYTES_MAX} bytes, got ${size}.`,
    );
  const text = await readFile(file, 'utf8');
  if (depthOf(text) > CASSETTE_LIMITS.depthMax)
    throw new LoopscopeError('bad_input', `${file}: it is nested deeper than ${CASSETTE_LIMITS.depthMax}.`);
  let list: unknown[];
  try {
    list = JSON.parse(text) as unknown[];
  } catch (error) {
    throw new LoopscopeError(
      'bad_input',
      `${file}: expected a JSON list of trajectories: ${(error as Error).message}`,
    );
  }
  const results = list.map((value) =>
    trajectoryToRecording(value, { loop, ...(model !== undefined && { model }) }),
  );
  const bad = results.flatMap((result, i) =>
    result.kind === 'bad' ? [`${file}[${i}]: ${result.error}`] : [],
  );
  const recordings = results.flatMap((result) => (result.kind === 'read' ? [result.recording] : []));
  const names = new Set<string>();
  recordings.forEach(({ run }, i) => {
    if (names.has(run)) bad.push(`${file}[${i}]: task_id and trial are those of another one, ${run}`);
    names.add(run);
  });
  if (bad.length > 0)
    throw new LoopscopeError(
      'bad_input',
      `${bad.slice(0, BAD_MAX).join('\n')}\nNothing of the file was taken.`,
    );
  return recordings;
}

/** `''` for a file without any. Throws `not_found` or `bad_input`. */
function firstCharacter(file: string): string {
  try {
    const start = Buffer.alloc(64);
    const opened = openSync(file, 'r');
    const length = readSync(opened, start);
    closeSync(opened);
    return start.toString('utf8', 0, length).trimStart().charAt(0);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new LoopscopeError(
      code === 'ENOENT' ? 'not_found' : 'bad_input',
      `${file}: cannot be read: ${message}`,
    );
  }
}
