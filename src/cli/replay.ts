import type { Command } from 'commander';
import { scorerServices } from '../../evals/scorers/services.ts';
import { collectorAuthorities, fetchTrusting } from '../collector-trust.ts';
import { LoopscopeError } from '../errors.ts';
import { Prices } from '../gateway/price.ts';
import { gatewayModel, providerNames } from '../replay/play/ask.ts';
import { commandTools } from '../replay/play/command-tools.ts';
import { playRecording } from '../replay/play/drive.ts';
import type { ReplayTarget } from '../replay/play/gateway-call.ts';
import { type GuestOptions, runGuest } from '../replay/play/guest.ts';
import { recordedModel } from '../replay/play/match.ts';
import { type Normaliser, normaliser, type Rule, readRule } from '../replay/play/normalise.ts';
import type { Played } from '../replay/play/ports.ts';
import { publishReplay } from '../replay/play/publish.ts';
import { startReplayServer } from '../replay/play/serve.ts';
import { Session } from '../replay/play/session.ts';
import { requireLive, toolGuard } from '../replay/play/tools.ts';
import type { Recording } from '../replay/recording.ts';
import { runTraceId } from '../span/ids.ts';
import { positiveInteger } from './arguments.ts';
import type { CliContext } from './context.ts';
import { findRecording } from './diff-sides.ts';
import { count } from './format.ts';
import { type ReplayOptions, readMode, readOverrides, readWrites } from './replay-options.ts';
import { openReplayScoring, type ReplayScoring } from './replay-score.ts';
import { type Plan, playedDocument, tellPlan, tellPlayed, tellTogether } from './replay-text.ts';

/** `replay`: a run again, with one thing changed or none. */
export function add(program: Command, context: CliContext): void {
  program
    .command('replay')
    .description('play a run again: exactly, with fresh model calls, or live; exit code 1 where it diverges')
    .argument('<run>', 'a run id, a trace id, or, with --from, the run in that file')
    .argument('[command...]', 'behind --: your own loop, to be run against the record')
    .option('--loop <loop>', 'the loop whose run is meant, where several have one of that id')
    .option('--from <file>', 'take the run from a cassette (`record export`); nothing has to be running')
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
      '\nExamples:\n  loopscope replay r-000123 --loop primes\n  loopscope replay r-000123 --model gpt-4-0314 --times 20\n  loopscope replay r-000123 -- node my-loop.js\n\nYour own loop finds the record at OPENAI_BASE_URL and ANTHROPIC_BASE_URL, and LOOPSCOPE_REPLAY=1. An answer that would\nmake it call a tool which loops/*.yaml does not mark safe is withheld, and ends the replay. Tools that it calls on what it\nreads in a plain text cannot be seen.',
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
  const recording = await findRecording(context, options.from ?? run, options.loop);
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
  // Whoever plays a file needs nothing else, and leaves nothing.
  const isOffline = options.from !== undefined && mode === 'exact';
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
        replayId: newId(context),
      };
      const played = await (drivenBy === 'loop' ? withLoop(job) : fromRecord(job));
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

interface Job {
  context: CliContext;
  plan: Plan;
  options: ReplayOptions;
  rules: readonly Rule[];
  command: readonly string[];
  replayId: string;
  signal: AbortSignal;
}

/** Such as `replay-20261127T053312-1a2b3c4d`. */
const newId = ({ clock }: CliContext): string =>
  `replay-${new Date(clock.now()).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}-${clock.randomHex(4)}`;

/** The recorded conversation is played. */
function fromRecord({ context, plan, options, rules, replayId, signal }: Job): Promise<Played> {
  const { recording, mode, overrides, guard } = plan;
  const { clock, out } = context;
  const config = context.config();
  const definition = context.registry().loop(recording.loop);
  const strict = options.strict === true;
  const model =
    mode === 'exact'
      ? recordedModel(recording, { strict, normaliser: normaliser(rules) })
      : gatewayModel({
          ...targetOf({ context, plan, options, replayId, signal }),
          prices: new Prices(config.providers, config.prices),
          clock,
          guard,
          providerName: providerNames(config.providers),
        });
  return playRecording(recording, {
    mode,
    replayId,
    clock,
    model,
    tools:
      mode === 'live'
        ? commandTools({ tools: definition?.tools ?? [], guard, directory: config.directory, signal })
        : undefined,
    overrides,
    strict,
    rules,
    definition,
    until: options.until,
    signal,
    onStep: (done, of) => out.progress(`step ${count(done + 1)} of ${count(of)}`),
  });
}

type TargetJob = Pick<Job, 'context' | 'plan' | 'options' | 'replayId' | 'signal'>;

function targetOf({ context, plan: { recording }, options, replayId, signal }: TargetJob): ReplayTarget {
  const config = context.config();
  const { gatewayUrl } = scorerServices(config, context.clock, context.endpoints()?.gateway);
  return {
    gatewayUrl,
    loop: recording.loop,
    run: recording.run,
    replayId,
    traceId: runTraceId(recording.loop, replayId),
    key: config.keyOf(options.keyEnv),
    signal,
  };
}

/** The user's own loop runs against the record. */
async function withLoop(job: Job): Promise<Played> {
  const { context, plan, options, rules, command, replayId, signal } = job;
  const { recording, mode, overrides, guard } = plan;
  const { clock } = context;
  const config = context.config();
  const definition = context.registry().loop(recording.loop);
  const known: Normaliser = normaliser(rules);
  const strict = options.strict === true;
  const session = new Session({
    recording,
    replayId,
    mode,
    strict,
    normaliser: known,
    guard,
    clock,
    definition,
  });
  const target = targetOf(job);
  const withheld = new AbortController();
  const server = await startReplayServer({
    recording,
    session,
    mode,
    overrides,
    target: mode === 'exact' ? undefined : target,
    prices: new Prices(config.providers, config.prices),
    providerName: providerNames(config.providers),
    definition,
    paced: options.paced === true,
    clock,
    log: context.log(),
    onStop: () => withheld.abort(),
  });
  try {
    const exit = await runGuest({
      command: command as GuestOptions['command'],
      url: server.url,
      run: recording.run,
      replayId,
      loop: recording.loop,
      itemId: recording.itemId,
      key: target.key ?? 'replay',
      stderr: context.stderr,
      clock,
      signal: AbortSignal.any([signal, withheld.signal]),
    });
    signal.throwIfAborted();
    return session.played(exit);
  } finally {
    await server.close();
  }
}

/** Gives the replay its golden score, or says why there is none. */
async function scored(played: Played, scoring: ReplayScoring | undefined): Promise<string | undefined> {
  if (played.outcome !== 'done' || played.output === null || !scoring) return undefined;
  const result = await scoring.score(played.output);
  if (result && 'score' in result) played.recording.goldenScore = result.score;
  return result && 'error' in result ? result.error : undefined;
}

async function publish({ context, plan }: Job, played: Played): Promise<void> {
  const { recording, mode, drivenBy, overrides } = plan;
  const config = context.config();
  await publishReplay({
    store: context.store(),
    send: {
      collectorUrl: context.collectorUrl(),
      token: config.collector.token,
      fetch: fetchTrusting(collectorAuthorities(config.collector)),
      clock: context.clock,
    },
    original: recording as Recording,
    played,
    mode,
    drivenBy,
    overrides,
    isRegistered: context.registry().loop(recording.loop) !== undefined,
  });
}
