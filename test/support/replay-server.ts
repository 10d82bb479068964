import pino from 'pino';
import { systemClock } from '../../src/clock.ts';
import { LoopDefinition } from '../../src/registry/loop.ts';
import { normaliser } from '../../src/replay/play/normalise.ts';
import type { Mode } from '../../src/replay/play/ports.ts';
import { startReplayServer } from '../../src/replay/play/serve.ts';
import { Session } from '../../src/replay/play/session.ts';
import { toolGuard } from '../../src/replay/play/tools.ts';
import type { Recording } from '../../src/replay/recording.ts';

/** A recording served to whoever asks, as `loopscope replay RUN -- …` serves it. */
export async function serveRecording(
  recording: Recording,
  {
    mode = 'exact',
    strict = false,
    tools = [],
    allowWrites = [],
    gatewayUrl = '',
    overrides = {},
  }: {
    mode?: Mode;
    strict?: boolean;
    tools?: { name: string; safe?: boolean }[];
    allowWrites?: string[];
    gatewayUrl?: string;
    overrides?: { model?: string; prompt?: string; parameters?: Record<string, number> };
  } = {},
) {
  const clock = systemClock();
  const definition = LoopDefinition.parse({ loop: recording.loop, owner: 'o', tools });
  const replayId = `replay-${clock.randomHex(4)}`;
  const session = new Session({
    recording,
    replayId,
    mode,
    strict,
    normaliser: normaliser(),
    guard: toolGuard(recording.loop, definition.tools, allowWrites),
    clock,
    definition,
  });
  let stops = 0;
  const server = await startReplayServer({
    recording,
    session,
    mode,
    overrides,
    target: {
      gatewayUrl,
      loop: recording.loop,
      run: recording.run,
      replayId,
      traceId: 'a'.repeat(32),
      key: undefined,
    },
    prices: { costUsd: () => 0.002 },
    providerName: (name) => name,
    definition,
    paced: false,
    clock,
    log: pino({ level: 'silent' }),
    onStop: () => stops++,
  });
  return { ...server, session, replayId, stops: () => stops };
}
