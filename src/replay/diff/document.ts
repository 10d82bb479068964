import type { Recording, Step } from '../recording.ts';
import { areAlike } from './diff.ts';
import type { Difference, RunDiff, StepDiff } from './difference.ts';
import { pathText } from './json.ts';

/** The one JSON document of a diff. Steps that are the same are there without differences, so that places stay places. */
export function diffDocument(diff: RunDiff) {
  return {
    a: sideDocument(diff.a),
    b: sideDocument(diff.b),
    alike: areAlike(diff),
    first_divergence: diff.firstDivergence,
    first_action: diff.firstAction,
    counts: diff.counts,
    run: diff.run.map(differenceDocument),
    steps: diff.steps.map((step) => stepDocument(diff, step)),
  };
}

const sideDocument = (recording: Recording) => ({
  loop: recording.loop,
  run: recording.run,
  trace_id: recording.traceId,
  replay_of: recording.replayOf,
  started_at: new Date(recording.startedAt).toISOString(),
  duration_ms: recording.durationMs,
  state: recording.state,
  verdict: recording.verdict,
  golden_score: recording.goldenScore,
  input_tokens: recording.inputTokens,
  output_tokens: recording.outputTokens,
  cost_usd: recording.costUsd,
  steps: recording.steps.length,
  gaps: recording.gaps,
});

const stepDocument = ({ a, b }: RunDiff, step: StepDiff) => ({
  outcome: step.outcome,
  a: step.aIndex === null ? null : figuresOf(a.steps[step.aIndex]!, step.aIndex),
  b: step.bIndex === null ? null : figuresOf(b.steps[step.bIndex]!, step.bIndex),
  agents: step.path,
  kind: step.kind,
  name: step.label,
  differences: step.differences.map(differenceDocument),
});

function figuresOf(step: Step, index: number) {
  const figures = { step: index, at_ms: step.atMs, duration_ms: step.durationMs };
  if (step.kind !== 'call') return figures;
  return {
    ...figures,
    first_chunk_ms: step.firstChunkMs,
    input_tokens: step.inputTokens,
    output_tokens: step.outputTokens,
    cost_usd: step.costUsd,
  };
}

const differenceDocument = ({ field, at, weight, change }: Difference) => ({
  field,
  at,
  weight,
  change:
    change.kind === 'json'
      ? { ...change, entries: change.entries.map((entry) => ({ ...entry, path: pathText(entry.path) })) }
      : change,
});
