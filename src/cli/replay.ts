import type { Command } from 'commander';
import { LoopscopeError } from '../errors.ts';
import { readRule } from '../replay/play/normalise.ts';
import type { Played } from '../replay/play/ports.ts';
import { requireLive, toolGuard } from '../replay/play/tools.ts';
import { positiveInteger } from './arguments.ts';
import type { CliContext } from './context.ts';
import { cassetteNamed, findRecording } from './diff-sides.ts';
import { type ReplayOptions, readMode, readOverrides, readWrites } from './replay-options.ts';
import { type Job, newReplayId, playOnce, publish } from './replay-play.ts';
import { openReplayScoring, type ReplayScoring } from './replay-score.ts';
import { type Plan, playedDocument, tellPlan, tellPlayed, tellTogether } from './replay-text.ts';

/** `replay`: a run again, with one thing changed or none. */
export function add(program: Command, context: CliContext): void {
  program
    .command('replay')
    .description('play a run again: exactly, with fresh model calls, or live; exit code 1 where it diverges')
    .argument(
      '<run>',
      'a run id, a replay id, a trace id, or a cassette (FILE, or FILE#RUN where it has several)',
    )
    .argument('[command...]', 'behind --: your own loop, to be run against the record')
    .option('--loop <loop>', 'the loop whose run is meant, where several have one of that id')
    .option('--mode <mode>', 'exact: all from the record; model: fresh model calls; live: fresh tools too')
    .option('--model <model>', 'the maker asks this model')
    .option('--prompt <file>', 'the maker gets this prompt')
    .option('--checker <agent=file>', 'a checker gets this prompt; may be given again', collect)
    .option('--param <name=value>', 'such as temperature=0; may be given again', collect)
    .option('--until <step>', 'play so many steps only', positiveInteger)
    .option('--times <n>', 'play it so many times', positiveInteger, 1)
    .option('--strict', 'what is nearly as recorded is a divergence, and the first one ends it')
    .option('--rule <name=regex>', 'what else is volatile, as ids and times are; may be given again', collect)
    .option('--allow-writes <tools>', 'tools that may be carried out although they are not marked safe')
    .option('--paced', 'your loop gets its answers in the time that they took')
    .option('--key-env <name>', 'the variable with the key for fresh calls', 'LOOPSCOPE_REPLAY_KEY')
    .addHelpText(
      'after',
      '\nExamples:\n  loopscope replay r-000123 --loop primes\n  loopscope replay r-000123 --model gpt-4-0314 --times 20\n  loopscope replay r-000123 -- node my-loop.js\n\nYour own loop finds the record at OPENAI_BASE_URL and ANTHROPIC_BASE_URL, and LOOPSCOPE_REPLAY=1. An answer that would\nmake it call a tool which loops/*.yaml does not mark safe is withheld, and ends the replay. Tools that it calls on what it\nreads in a plain text cannot be seen, and a loop that does not take its base URL from there runs as in production.',
    )
    .action((run: string, command: string[], options: ReplayOptions) =>
      replay(context, run, command, options),
    );
}

const collect = (value: string, before: string[] = []): string[] => [...before, value];

async function replay(
  context: CliContext,
  run: string,
  command: readonly string[],
  options: ReplayOptions,
): Promise<void> {
  const overrides = readOverrides(options);
  const mode = readMode(options, overrides);
  const rules = (options.rule ?? []).map(readRule);
  const recording = await findRecording(context, run, options.loop);
  const definition = context.registry().loop(recording.loop);
  const tools = definition?.tools ?? [];
  const drivenBy = command.length > 0 ? 'loop' : 'record';
  const guard = toolGuard(recording.loop, tools, readWrites(options));
  const plan: Plan = { recording, mode, drivenBy, overrides, guard, times: options.times };
  if (mode === 'live' && drivenBy === 'record') requireLive(recording, guard, tools);
  tellPlan(context.out, plan);
  if (drivenBy === 'loop' && (options.until !== undefined || overrides.checkers))
    throw new LoopscopeError(
      'usage',
      '--until and --checker are for the recorded conversation: your own loop has its own.',
    );
  // Whoever plays a file exactly needs nothing else, and leaves nothing.
  const isOffline = cassetteNamed(run) !== undefined && mode === 'exact';
  const scoring = isOffline ? undefined : await openReplayScoring(context, recording);
  const stop = new AbortController();
  const onSignal = () => stop.abort(new LoopscopeError('replay_refused', 'The replay was ended.'));
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);
  try {
    const replays: { played: Played; scoreError: string | undefined }[] = [];
    for (let i = 0; i < options.times; i++) {
      const job: Job = {
        context,
        plan,
        options,
        rules,
        command,
        signal: stop.signal,
        replayId: newReplayId(context),
      };
      const played = await playOnce(job);
      context.out.progress('');
      const scoreError = await scored(played, scoring);
      if (!isOffline) await publish(job, played);
      replays.push({ played, scoreError });
      if (played.divergences.length > 0) context.exitCode = 1;
      if (!context.json) tellPlayed(context.out, plan, played, scoreError);
    }
    const documents = replays.map(({ played, scoreError }) => playedDocument(plan, played, scoreError));
    context.show({ replays: documents }, () => {
      if (replays.length > 1)
        tellTogether(
          context.out,
          replays.map(({ played }) => played),
        );
    });
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
    await scoring?.close();
  }
}

/** Gives the replay its golden score, or says why there is none. */
async function scored(played: Played, scoring: ReplayScoring | undefined): Promise<string | undefined> {
  if (played.outcome !== 'done' || played.output === null || !scoring) return undefined;
  const result = await scoring.score(played.output);
  if (result && 'score' in result) played.recording.goldenScore = result.score;
  return result && 'error' in result ? result.error : undefined;
}
