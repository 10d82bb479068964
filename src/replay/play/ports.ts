import type { ModelCall, Recording } from '../recording.ts';

/**
 * What playing a run again needs of the world, and what comes of it. The drive itself asks nothing but these ports: a
 * model is the record, or a provider behind the gateway; a tool is the record, or a command.
 */

/** `exact`: everything from the record. `model`: fresh model calls, recorded tools. `live`: fresh everything. */
export type Mode = 'exact' | 'model' | 'live';
export const MODES: readonly Mode[] = ['exact', 'model', 'live'];

/** What an agent asks of a model now. */
export type FreshCall = Pick<
  ModelCall,
  | 'agent'
  | 'role'
  | 'parentAgent'
  | 'provider'
  | 'api'
  | 'stream'
  | 'model'
  | 'parameters'
  | 'toolDefinitions'
> & { input: ModelCall['input'] & {} };

/** What a model says to it. What nobody knows is `null`. */
export type ModelAnswer = Pick<
  ModelCall,
  'servedModel' | 'finishReasons' | 'inputTokens' | 'outputTokens' | 'costUsd' | 'durationMs' | 'firstChunkMs'
> & { output: ModelCall['output'] & {} };

export type Answered =
  | { outcome: 'answered'; answer: ModelAnswer; match: Matched | undefined }
  /** The record has no such call. */
  | { outcome: 'unmatched'; nearest: ModelCall | undefined; differences: readonly string[] }
  | { outcome: 'failed'; error: string; message: string };

/** Which recorded call a fresh one was answered from, and in what they differ. */
export interface Matched {
  recorded: ModelCall;
  differences: readonly string[];
}

export type ModelPort = (call: FreshCall, recorded: ModelCall | undefined) => Answered | Promise<Answered>;

/** A tool as a model asks for it. */
export interface ToolUse {
  agent: string;
  tool: string;
  callId: string;
  arguments: string;
}

export type ToolPort = (use: ToolUse) => ToolOutcome | Promise<ToolOutcome>;

export type ToolOutcome =
  | { outcome: 'done'; result: string }
  /** It may not be carried out, see tools.ts. */
  | { outcome: 'withheld'; message: string }
  | { outcome: 'failed'; message: string };

/** Where a replay left the way of the record. */
export interface Divergence {
  kind: DivergenceKind;
  /** Place in the replay's own steps, and in the record's; `null` where there is none. */
  step: number | null;
  recordedStep: number | null;
  agent: string;
  /** What was expected and what came, for a person. */
  message: string;
  differences: readonly string[];
}

export type DivergenceKind =
  | 'call_unmatched'
  | 'call_not_made'
  | 'call_failed'
  | 'other_tool'
  | 'other_arguments'
  | 'no_tool_call'
  | 'more_tool_calls'
  | 'tool_not_recorded'
  | 'tool_withheld'
  | 'tool_failed'
  | 'too_many_calls'
  | 'not_understood'
  | 'loop_failed';

/** What came of playing a run again. */
export interface Played {
  /** `done`: to the last message. `until`: to the step asked for. `stopped`: the last divergence ended it. */
  outcome: 'done' | 'until' | 'stopped';
  /** The replay as a run of its own; `replayOf` is the original. */
  recording: Recording;
  /** Calls that met a recorded one, by their normalised hash and by place and similarity. */
  matched: number;
  near: readonly { step: number; recordedStep: number; differences: readonly string[] }[];
  /** Recorded calls that were not made. */
  skipped: number;
  divergences: readonly Divergence[];
  /** Steps of `recording` that are on record elsewhere: the gateway wrote the span of a fresh call. */
  fresh: ReadonlySet<number>;
  /** Text of the maker's last answer; `null` where there is none. */
  output: string | null;
}
