import { statSync } from 'node:fs';
import { LoopscopeError } from '../errors.ts';
import { readCassette } from '../replay/record/cassette-read.ts';
import { loadRecording } from '../replay/record/load.ts';
import type { Recording } from '../replay/recording.ts';
import { replayNamed } from '../store/replays.ts';
import { loopsWithRun } from '../store/traces.ts';
import type { CliContext } from './context.ts';

/**
 * The run that a word on the command line means: a cassette (FILE, or FILE#RUN where it has several), or the id of a run, a
 * replay or a trace. Throws `not_found`, or `usage` where it could be several.
 */
export async function findRecording(
  context: CliContext,
  id: string,
  loop: string | undefined,
): Promise<Recording> {
  const cassette = cassetteNamed(id);
  return cassette ? await inCassette(cassette, loop) : await inStore(context, id, loop);
}

interface CassetteName {
  file: string;
  run: string | undefined;
}

/** A file that is there, with or without a run's name behind it. */
export function cassetteNamed(id: string): CassetteName | undefined {
  if (isFile(id)) return { file: id, run: undefined };
  const at = id.lastIndexOf('#');
  return at > 0 && isFile(id.slice(0, at)) ? { file: id.slice(0, at), run: id.slice(at + 1) } : undefined;
}

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() === true;

async function inCassette({ file, run }: CassetteName, loop: string | undefined): Promise<Recording> {
  const all = await readCassette(file);
  const meant = all.filter(
    (recording) =>
      (run === undefined || recording.run === run) && (loop === undefined || recording.loop === loop),
  );
  const [only] = meant;
  if (only && meant.length === 1) return only;
  const runs = (meant.length > 0 ? meant : all).map((recording) => `${recording.loop} ${recording.run}`);
  const named = `${runs.slice(0, NAMED_MAX).join(', ')}${runs.length > NAMED_MAX ? ', …' : ''}`;
  throw only
    ? new LoopscopeError(
        'usage',
        `${file} has several runs: ${named}. Say which as ${file}#RUN, or with --loop.`,
      )
    : new LoopscopeError('not_found', `${file} has no such run. It has: ${named || 'none'}.`);
}

/** Runs of a cassette that an error names. */
const NAMED_MAX = 10;

async function inStore(context: CliContext, id: string, loop: string | undefined): Promise<Recording> {
  const store = context.store();
  const options = { capture: (name: string) => context.registry().loop(name)?.capture };
  const loops = (await loopsWithRun(store, id)).filter((name) => loop === undefined || name === loop);
  if (loops.length > 1)
    throw new LoopscopeError(
      'usage',
      `Several loops have a run "${id}": ${loops.join(', ')}. Say which with --loop.`,
    );
  const traceId = /^[0-9a-f]{32}$/i.test(id) ? id.toLowerCase() : (await replayNamed(store, id))?.traceId;
  const recording =
    loops.length === 1
      ? await loadRecording(store, { loop: loops[0]!, runId: id }, options)
      : traceId && (await loadRecording(store, { traceId }, options));
  if (recording && (loop === undefined || recording.loop === loop)) return recording;
  throw new LoopscopeError(
    'not_found',
    `There is no run, replay, trace or file "${id}"${loop === undefined ? '' : ` of loop "${loop}"`}. \`loopscope runs\` lists the latest runs.`,
  );
}
