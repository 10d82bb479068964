import type { Clock } from '../../clock.ts';
import { LoopscopeError } from '../../errors.ts';
import type { LoopDefinition } from '../../registry/loop.ts';
import { USEFUL_SCORE } from '../../store/fleet.ts';
import { playRecording } from '../play/drive.ts';
import type { Overrides } from '../play/overrides.ts';
import type { ModelPort, Played } from '../play/ports.ts';
import type { Recording } from '../recording.ts';
import type { Trial, TrialResult, Variant } from './trial.ts';

/**
 * A trial that plays a recorded run: its conversation with fresh answers and recorded tools, so that nothing is done in the
 * world. A replay that leaves the record (another tool is asked for, whose result nobody knows) has no score, and is a
 * failure and not a bad answer.
 */
export interface PlayTrialOptions {
  /** Runs whose inputs are played, by place. */
  items: readonly string[];
  /** A run as it was recorded; asked for once each. */
  load(runId: string): Promise<Recording | undefined>;
  overridesOf(variant: Variant): Overrides;
  /** Who answers the calls of a replay. */
  modelFor(recording: Recording, replayId: string): ModelPort;
  /** Our own score of the maker's answer in the place of a run. */
  score(output: string, runId: string): Promise<{ score: number } | { error: string }>;
  /** Whether a checker's verdict is wanted. If not, what it says after the maker's last word is not asked for. */
  isJudged: boolean;
  definition: Pick<LoopDefinition, 'agents'> | undefined;
  clock: Clock;
  /** An id for a replay. */
  newId(): string;
  /** Keeps a replay that is over, so that it can be looked at. */
  keep(original: Recording, played: Played, overrides: Overrides): Promise<void>;
  signal?: AbortSignal | undefined;
}

export function playTrial(options: PlayTrialOptions): Trial {
  const { items, load, overridesOf, modelFor, score, isJudged, definition, clock, newId, keep, signal } =
    options;
  const recordings = new Map<string, Promise<Recording | undefined>>();
  return async (variant, item) => {
    const runId = items[item]!;
    const loaded = recordings.get(runId) ?? load(runId);
    recordings.set(runId, loaded);
    const recording = await loaded;
    if (!recording) return failed(`not_found: run ${runId} is not on record any more`, 0);
    const overrides = overridesOf(variant);
    const replayId = newId();
    let played: Played;
    try {
      played = await playRecording(isJudged ? recording : withoutJudge(recording), {
        mode: 'model',
        replayId,
        clock,
        overrides,
        model: modelFor(recording, replayId),
        definition,
        signal,
      });
    } catch (error) {
      if (error instanceof LoopscopeError) return failed(`${error.code}: ${error.message}`, 0);
      throw error;
    }
    const result = await resultOf(played, runId, score);
    if (result.outcome === 'scored') played.recording.goldenScore = result.golden;
    await keep(recording, played, overrides);
    return result;
  };
}

/** A recording without what its checker was asked about the maker's last answer. */
function withoutJudge(recording: Recording): Recording {
  const last = recording.steps.findLastIndex(
    ({ kind, role }) => kind === 'call' && (role === 'maker' || role === ''),
  );
  return { ...recording, steps: recording.steps.filter(({ role }, i) => i <= last || role !== 'checker') };
}

async function resultOf(
  { outcome, divergences, output, recording: { run, verdict, costUsd } }: Played,
  runId: string,
  score: PlayTrialOptions['score'],
): Promise<TrialResult> {
  const last = divergences.at(-1);
  if (outcome === 'stopped') return failed(`${last?.kind ?? 'stopped'}: ${last?.message ?? ''}`, costUsd);
  if (output === null || output === '')
    return failed('no_answer: the replay ended without an answer', costUsd);
  const scored = await score(output, runId);
  if ('error' in scored) return failed(scored.error, costUsd);
  const golden = scored.score;
  return {
    outcome: 'scored',
    golden,
    checker: verdict === null ? null : Number(verdict.pass === golden >= USEFUL_SCORE),
    costUsd,
    replay: run,
  };
}

const failed = (reason: string, costUsd: number | null): TrialResult => ({
  outcome: 'failed',
  reason,
  costUsd,
});
