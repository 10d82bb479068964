import { scorerServices } from '../../evals/scorers/services.ts';
import { collectorAuthorities, fetchTrusting } from '../collector-trust.ts';
import { Prices } from '../gateway/price.ts';
import { gatewayModel, providerNames } from '../replay/play/ask.ts';
import { commandTools } from '../replay/play/command-tools.ts';
import { playRecording } from '../replay/play/drive.ts';
import type { ReplayTarget } from '../replay/play/gateway-call.ts';
import { type GuestOptions, runGuest } from '../replay/play/guest.ts';
import { recordedModel } from '../replay/play/match.ts';
import { normaliser, type Rule } from '../replay/play/normalise.ts';
import type { Played } from '../replay/play/ports.ts';
import { publishReplay } from '../replay/play/publish.ts';
import { startReplayServer } from '../replay/play/serve.ts';
import { Session } from '../replay/play/session.ts';
import { runTraceId } from '../span/ids.ts';
import type { CliContext } from './context.ts';
import { count } from './format.ts';
import type { ReplayOptions } from './replay-options.ts';
import type { Plan } from './replay-text.ts';

/** Plays a run once, as `replay` was told to, with the parts of this installation. */
export interface Job {
  context: CliContext;
  plan: Plan;
  options: ReplayOptions;
  rules: readonly Rule[];
  command: readonly string[];
  replayId: string;
  signal: AbortSignal;
}

/** Such as `replay-20261127T053312-1a2b3c4d`. */
export const newReplayId = ({ clock }: CliContext): string =>
  `replay-${new Date(clock.now()).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}-${clock.randomHex(4)}`;

/** By the recorded conversation, or by the user's own loop. */
export const playOnce = (job: Job): Promise<Played> =>
  job.plan.drivenBy === 'loop' ? withLoop(job) : fromRecord(job);

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

async function withLoop(job: Job): Promise<Played> {
  const { context, plan, options, rules, command, replayId, signal } = job;
  const { recording, mode, overrides, guard } = plan;
  const { clock } = context;
  const config = context.config();
  const definition = context.registry().loop(recording.loop);
  const strict = options.strict === true;
  const session = new Session({
    recording,
    replayId,
    mode,
    strict,
    normaliser: normaliser(rules),
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

/** Puts it on record, beside the runs of production. */
export async function publish({ context, plan }: Job, played: Played): Promise<void> {
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
    original: recording,
    played,
    mode,
    drivenBy,
    overrides,
    isRegistered: context.registry().loop(recording.loop) !== undefined,
  });
}
