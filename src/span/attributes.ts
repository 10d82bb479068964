/**
 * The vocabulary: every attribute name that Loopscope writes or reads. `gen_ai.*` are the OpenTelemetry GenAI
 * conventions by their newest draft; `loopscope.*` is what the conventions have no word for.
 */
export const A = {
  // OpenTelemetry GenAI and general conventions
  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  requestModel: 'gen_ai.request.model',
  requestStream: 'gen_ai.request.stream',
  requestMaxTokens: 'gen_ai.request.max_tokens',
  requestTemperature: 'gen_ai.request.temperature',
  requestTopP: 'gen_ai.request.top_p',
  requestSeed: 'gen_ai.request.seed',
  requestTopK: 'gen_ai.request.top_k',
  requestFrequencyPenalty: 'gen_ai.request.frequency_penalty',
  requestPresencePenalty: 'gen_ai.request.presence_penalty',
  requestStopSequences: 'gen_ai.request.stop_sequences',
  requestChoices: 'gen_ai.request.choice.count',
  requestReasoning: 'gen_ai.request.reasoning.level',
  toolDefinitions: 'gen_ai.tool.definitions',
  responseId: 'gen_ai.response.id',
  responseModel: 'gen_ai.response.model',
  finishReasons: 'gen_ai.response.finish_reasons',
  timeToFirstChunk: 'gen_ai.response.time_to_first_chunk',
  inputTokens: 'gen_ai.usage.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
  cacheReadTokens: 'gen_ai.usage.cache_read.input_tokens',
  cacheWriteTokens: 'gen_ai.usage.cache_write.input_tokens',
  reasoningTokens: 'gen_ai.usage.reasoning.output_tokens',
  conversationId: 'gen_ai.conversation.id',
  agentName: 'gen_ai.agent.name',
  agentId: 'gen_ai.agent.id',
  toolName: 'gen_ai.tool.name',
  toolCallId: 'gen_ai.tool.call.id',
  toolArguments: 'gen_ai.tool.call.arguments',
  toolResult: 'gen_ai.tool.call.result',
  inputMessages: 'gen_ai.input.messages',
  outputMessages: 'gen_ai.output.messages',
  systemInstructions: 'gen_ai.system_instructions',
  evaluationName: 'gen_ai.evaluation.name',
  evaluationScore: 'gen_ai.evaluation.score.value',
  evaluationLabel: 'gen_ai.evaluation.score.label',
  evaluationExplanation: 'gen_ai.evaluation.explanation',
  errorType: 'error.type',
  serverAddress: 'server.address',
  serverPort: 'server.port',
  httpStatus: 'http.response.status_code',

  // Ours: whose span it is
  loop: 'loopscope.loop',
  runId: 'loopscope.run.id',
  /** `true` when the loop is in the registry, `false` when it just came along. */
  registered: 'loopscope.registered',
  /** maker | checker | sub */
  agentRole: 'loopscope.agent.role',
  parentAgent: 'loopscope.agent.parent',
  /** `true` on calls of a sub-agent whose parent is a sub-agent itself. */
  nestedAgent: 'loopscope.agent.nested',
  /** run | agent | call | tool | attempt | request | verdict | effect: what the span stands for; a request is no model call. */
  record: 'loopscope.record',

  // Ours: how a call was routed, or whose answer it got
  attemptTarget: 'loopscope.attempt.target',
  attemptNumber: 'loopscope.attempt.number',
  attemptOutcome: 'loopscope.attempt.outcome',
  attempts: 'loopscope.attempts',
  /** Of a call whose answer another call had got: it used nothing and cost nothing. */
  replayedTraceId: 'loopscope.replayed.trace_id',
  replayedSpanId: 'loopscope.replayed.span_id',

  // Ours: what a model call was made of, and what it cost
  costUsd: 'loopscope.cost_usd',
  promptVersion: 'loopscope.prompt.version',
  toolsVersion: 'loopscope.tools.version',
  /** How the model was asked: chat_completions | responses | messages. */
  api: 'loopscope.api',
  /** What the conventions have no name for of what a request asks: the kind of answer, and which tool is to be called. */
  requestResponseFormat: 'loopscope.request.response_format',
  requestToolChoice: 'loopscope.request.tool_choice',
  /** Content that is not kept, and why: JSON, `{"input": "too_large"}`, see `src/replay/recording.ts` on gaps. */
  missing: 'loopscope.missing',
  /** Hash of the normalised user input, see `src/records/normalize.ts`. */
  inputHash: 'loopscope.input.hash',
  /** Id of the golden item this run works on, where the caller named it. */
  itemId: 'loopscope.item.id',
  /** `true` on calls by which evals ask a loop's agents about golden data; they have no run id, and are no run's. */
  probe: 'loopscope.probe',
  probeSuite: 'loopscope.probe.suite',
  /** What it has in place of a run id. */
  probeRunId: 'loopscope.probe.run.id',
  /**
   * Spans of a replay: the run that is replayed, and the replay's own id in place of a run id. Their `record` is what the
   * original's would be behind `REPLAY_RECORD_PREFIX`, so that they count nowhere among those of production.
   */
  replayOf: 'loopscope.replay.of',
  replayRunId: 'loopscope.replay.run.id',
  /** When the pieces of a stream came: JSON, `[[ms since the request, characters], …]`. */
  streamPieces: 'loopscope.stream.pieces',
  /** Plain text of the answer (content: kept only under `capture: full`). */
  outputText: 'loopscope.output.text',
  /** Plain text of the user input (content: kept only under `capture: full`). */
  inputText: 'loopscope.input.text',
  /** Hashes that replace the two above once the collector has moved the content to `messages`. */
  outputTextHash: 'loopscope.output.text.hash',
  inputTextHash: 'loopscope.input.text.hash',
  /** Hash that replaces a log record's body which was a message. */
  bodyHash: 'loopscope.log.body.hash',
  inputMessageHashes: 'loopscope.input.messages.hashes',
  outputMessageHashes: 'loopscope.output.messages.hashes',
  /** Followed by the name under which other content stood: a JSON list of its hashes. */
  contentHashes: 'loopscope.content',

  // Ours: what a loop says of its run
  verdictPass: 'loopscope.verdict.pass',
  checkerName: 'loopscope.checker.name',
  checkerVersion: 'loopscope.checker.version',
  effect: 'loopscope.effect.name',
  /** `false` where an effect was turned down (a PR closed unmerged). */
  effectAccepted: 'loopscope.effect.accepted',
  /** ok | error, at `end` */
  outcome: 'loopscope.outcome',
  goldenScore: 'loopscope.golden.score',
  goldenExpected: 'loopscope.golden.expected',
  /** What kind of task the run had, and the version of the golden data that its own score was made with. */
  task: 'loopscope.task',
  datasetVersion: 'loopscope.dataset.version',
} as const;

/** `replay.call` is a call of a replay. */
export const REPLAY_RECORD_PREFIX = 'replay.';
