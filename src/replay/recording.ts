/**
 * A run as it can be played again: what its agents asked of models, what came back, which tools they called with what
 * results, and what was said of the run, in the order it began. Everything that replays, compares or exports runs works
 * on this and knows nothing of tables.
 *
 * What was not recorded is `null`, and named in `gaps`.
 */
export interface Recording {
  loop: string;
  run: string;
  traceId: string;
  /** The run that this one replays; `null` for a run of production. */
  replayOf: string | null;
  /** Milliseconds since the epoch. */
  startedAt: number;
  durationMs: number;
  state: 'running' | 'ended' | 'failed';
  versions: Versions;
  verdict: { pass: boolean; checker: string } | null;
  /** In [0, 1], as it was stored with the run or by its suite. */
  goldenScore: number | null;
  itemId: string | null;
  inputTokens: number | null;
  outputTokens: number | null;
  costUsd: number | null;
  /** In the order they began; a step's place in it is its name: `--until 3` is `steps[2]`. */
  steps: Step[];
  gaps: Gap[];
}

/** Of the maker, as of its newest call, and of the checker that judged. `null` where nobody said. */
export interface Versions {
  model: string | null;
  servedModel: string | null;
  prompt: string | null;
  tools: string | null;
  checker: string | null;
}

export type Step = ModelCall | ToolCall | Statement;

interface StepOf<K extends string> {
  kind: K;
  spanId: string;
  /** The agent at work, and the one that it works for; `''` where there is none. */
  agent: string;
  role: 'maker' | 'checker' | 'sub' | '';
  parentAgent: string;
  /** Milliseconds since the run began. */
  atMs: number;
  /** `null` where nobody measured it. */
  durationMs: number | null;
  /** `error.type`, where it failed. */
  error: string | null;
}

/** One request to a model and its answer. */
export interface ModelCall extends StepOf<'call'> {
  /** `gen_ai.provider.name` */
  provider: string;
  /** How it was asked; `null` for a call through somebody else's instrumentation. */
  api: 'chat_completions' | 'responses' | 'messages' | null;
  stream: boolean;
  model: string;
  servedModel: string | null;
  /** Sampling and limits, by their GenAI name without `gen_ai.request.`: `temperature`, `max_tokens`, … */
  parameters: Record<string, string | number | boolean>;
  promptVersion: string | null;
  toolsVersion: string | null;
  /** The tools the model was offered, as its API has them, as JSON. */
  toolDefinitions: string | null;
  /** The whole history it was asked with, the system's words first. */
  input: Message[] | null;
  output: Message[] | null;
  finishReasons: string[];
  inputTokens: number | null;
  outputTokens: number | null;
  costUsd: number | null;
  /** Milliseconds from the request to the first byte of the answer. */
  firstChunkMs: number | null;
  /** When the pieces of a stream came, and how many characters each had: `[ms since the request, characters]`. */
  pieces: [number, number][] | null;
}

/** One use of a tool: from a span of its own, or as the model's calls tell it. */
export interface ToolCall extends StepOf<'tool'> {
  tool: string;
  /** The id by which model and agent speak of it; `''` where there is none. */
  callId: string;
  /** As the model wrote them, JSON most of the time. */
  arguments: string | null;
  result: string | null;
}

/** What was said of the run: a verdict, or an effect in the world. */
export interface Statement extends StepOf<'verdict' | 'effect'> {
  /** The checker's, or the effect's. */
  name: string;
  /** Whether the run passed, or whether the effect was accepted; `null` where nobody said. */
  pass: boolean | null;
}

/** A message as the GenAI conventions write it. Parts are text, tool_call, tool_call_response, reasoning, and others. */
export interface Message {
  role: string;
  parts: Part[];
  finish_reason?: string;
}
export type Part = { type: string } & Record<string, unknown>;

/** Something that was not recorded, and what it means for playing the run again. */
export interface Gap {
  what: 'input' | 'output' | 'tool_definitions' | 'tool_arguments' | 'tool_result' | 'call' | 'spans';
  /** Places in `steps`; empty where it concerns the run as a whole. */
  steps: number[];
  /** capture is off or hashed; it expired; it was too large; its provider keeps it; or nobody recorded it. */
  why: 'not_captured' | 'expired' | 'too_large' | 'kept_by_provider' | 'redacted' | 'not_recorded';
  /** A sentence for the person who replays it. */
  message: string;
}
