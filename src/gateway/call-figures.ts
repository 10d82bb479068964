import { LIMITS } from '../span/limits.ts';
import type { Asked } from './asked.ts';
import type { CallContext } from './context.ts';
import { pathPattern } from './path-pattern.ts';
import type { Usage } from './protocol.ts';

/** How a call went, for metrics and the access log: nothing of what was said. */
export interface CallOutcome {
  /** `gen_ai.provider.name` */
  provider: string;
  status: number | undefined;
  errorType: string | undefined;
  endNs: bigint;
  firstChunkNs: bigint | undefined;
  usage: Usage | undefined;
  servedModel: string | undefined;
  attempts: number;
}

/** Counts a call that is over, and writes its line of the access log where that is on. */
export function countCall(
  { metrics, inference, log }: CallContext,
  hasAccessLog: boolean,
  { method, route, operation, request, caller, run, traceId, startNs }: Asked,
  { provider, status, errorType, endNs, firstChunkNs, usage, servedModel, attempts }: CallOutcome,
): void {
  metrics.request(route.provider, status ?? 0);
  const seconds = Number(endNs - startNs) / 1e9;
  const firstChunkSeconds = firstChunkNs === undefined ? undefined : Number(firstChunkNs - startNs) / 1e9;
  if (operation)
    inference.add({
      operation: operation.name,
      provider,
      model: request?.model,
      errorType,
      seconds,
      firstChunkSeconds,
      usage,
    });
  if (!hasAccessLog) return;
  log.info(
    {
      loop: caller.loop,
      run: run?.runId,
      agent: caller.agent,
      method,
      path: pathPattern(route.path),
      provider,
      model: request?.model?.slice(0, LIMITS.nameLengthMax),
      served_model: servedModel?.slice(0, LIMITS.nameLengthMax),
      status,
      error: errorType,
      seconds,
      first_chunk_seconds: firstChunkSeconds,
      input_tokens: usage?.inputTokens,
      output_tokens: usage?.outputTokens,
      attempts,
      trace: traceId,
    },
    'call',
  );
}
