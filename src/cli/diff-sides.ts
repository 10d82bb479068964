import { LoopscopeError } from '../errors.ts';
import { loadRecording } from '../replay/record/load.ts';
import type { Recording } from '../replay/recording.ts';
import { loopsWithRun } from '../store/traces.ts';
import type { CliContext } from './context.ts';

/**
 * The run that a word on the command line means: a run's id, or a trace's. Throws `not_found`, or `usage` where it could
 * be several.
 */
export async function findRecording(
  context: CliContext,
  id: string,
  loop: string | undefined,
): Promise<Recording> {
  const store = context.store();
  const options = { capture: (name: string) => context.registry().loop(name)?.capture };
  const loops = (await loopsWithRun(store, id)).filter((name) => loop === undefined || name === loop);
  if (loops.length > 1)
    throw new LoopscopeError(
      'usage',
      `Several loops have a run "${id}": ${loops.join(', ')}. Say which with --loop.`,
    );
  const traceId = id.toLowerCase();
  const recording =
    loops.length === 1
      ? await loadRecording(store, { loop: loops[0]!, runId: id }, options)
      : /^[0-9a-f]{32}$/.test(traceId)
        ? await loadRecording(store, { traceId }, options)
        : undefined;
  if (recording) return recording;
  throw new LoopscopeError(
    'not_found',
    `There is no run, replay, trace or file "${id}"${loop === undefined ? '' : ` of loop "${loop}"`}. \`loopscope runs\` lists the latest runs.`,
  );
}
