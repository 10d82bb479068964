import { A, REPLAY_RECORD_PREFIX } from '../../span/attributes.ts';
import type { Span } from '../../span/span.ts';
import type { Store } from '../../store/client.ts';
import { appendReplay, type ReplayRow } from '../../store/replays.ts';
import { type SendOptions, sendSpans } from '../record/import.ts';
import { recordingToSpans } from '../record/to-spans.ts';
import type { Recording } from '../recording.ts';
import { type Overrides, versionOf } from './overrides.ts';
import type { Mode, Played } from './ports.ts';

/**
 * Puts a replay on record: its spans, in a trace of its own that is linked to the original's, and a row of what came of it.
 * Calls that went through the gateway have their spans from there.
 */
export interface Publishing {
  store: Store;
  send: SendOptions;
  original: Recording;
  played: Played;
  mode: Mode;
  drivenBy: ReplayRow['drivenBy'];
  overrides: Overrides;
  isRegistered: boolean;
}

export async function publishReplay(publishing: Publishing): Promise<void> {
  const { store, send, original, played, isRegistered } = publishing;
  const { recording } = played;
  const options = { registered: isRegistered, originalTraceId: original.traceId };
  // Agents were at work in fresh calls too. What was said in these is told by the gateway, and not told of the others.
  const steps = recording.steps.filter((_, i) => !played.fresh.has(i));
  const spans = [
    ...recordingToSpans(recording, options).filter(isOfWhole),
    ...recordingToSpans({ ...recording, steps }, options).filter((span) => !isOfWhole(span)),
  ];
  await sendSpans(spans, send);
  await appendReplay(store, rowOf(publishing));
}

const WHOLE = new Set(['run', 'agent'].map((kind) => REPLAY_RECORD_PREFIX + kind));
const isOfWhole = ({ attributes }: Span): boolean => WHOLE.has(attributes[A.record] ?? '');

function rowOf({ original, played, mode, drivenBy, overrides }: Publishing): ReplayRow {
  const { recording } = played;
  return {
    replayId: recording.run,
    loop: recording.loop,
    runId: original.run,
    traceId: recording.traceId,
    mode,
    drivenBy,
    overrides: overridesDocument(overrides),
    outcome: played.outcome,
    matched: played.matched,
    near: played.near.length,
    skipped: played.skipped,
    divergences: played.divergences.length,
    firstDivergence: played.divergences[0]?.kind ?? '',
    checkerPass: recording.verdict?.pass ?? null,
    goldenScore: recording.goldenScore,
    costUsd: recording.costUsd,
    at: recording.startedAt,
  };
}

/** What was other than recorded, without the words of prompts. */
export function overridesDocument(overrides: Overrides): Record<string, unknown> {
  const { model, prompt, tools, parameters, checkers } = overrides;
  return {
    ...(model !== undefined && { model }),
    ...(prompt !== undefined && { prompt: versionOf(prompt) }),
    ...(tools !== undefined && { tools: versionOf(tools) }),
    ...(parameters !== undefined && { parameters }),
    ...(checkers !== undefined && {
      checkers: Object.fromEntries(Object.entries(checkers).map(([name, text]) => [name, versionOf(text)])),
    }),
  };
}
