import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'undici';
import { agentSpanId } from '../../span/ids.ts';

/** A call of a replay on its way through the gateway: it belongs to the replay's trace, and to no run of production. */
export interface ReplayTarget {
  gatewayUrl: string;
  loop: string;
  /** The run that is replayed, the replay, and its trace. */
  run: string;
  replayId: string;
  traceId: string;
  /** A virtual key, or the provider's; `undefined` where the caller brings its own, or none is needed. */
  key: string | undefined;
  signal?: AbortSignal | undefined;
}

export interface GatewayAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export type Sent = { outcome: 'answered'; answer: GatewayAnswer } | { outcome: 'failed'; message: string };

const ANSWER_MS_MAX = 600_000;
export const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

/** Posts a call and reads its answer to the end. Never throws but for bugs, and the target's signal. */
export async function callGateway(
  target: ReplayTarget,
  { agent, parentAgent }: { agent: string; parentAgent: string },
  { provider, path, headers = {}, body }: GatewayRequest,
): Promise<Sent> {
  const { gatewayUrl, loop, run, replayId, traceId, key, signal } = target;
  const spanId = agentSpanId(traceId, parentAgent === '' ? [agent] : [parentAgent, agent]);
  const late = AbortSignal.timeout(ANSWER_MS_MAX);
  try {
    const {
      statusCode,
      headers: answered,
      body: stream,
    } = await request(`${gatewayUrl}/${provider}${path}`, {
      method: 'POST',
      headers: {
        'user-agent': 'loopscope-replay',
        ...headers,
        ...(key !== undefined && keyHeaders(provider, key)),
        'content-type': 'application/json',
        traceparent: `00-${traceId}-${spanId}-01`,
        'x-loop': loop,
        'x-loop-run': run,
        'x-loop-agent': agent,
        ...(parentAgent !== '' && { 'x-loop-parent-agent': parentAgent }),
        'x-loop-replay': replayId,
      },
      body,
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES_MAX)
        return { outcome: 'failed', message: `The answer is over ${ANSWER_BYTES_MAX} bytes.` };
      chunks.push(chunk);
    }
    return {
      outcome: 'answered',
      answer: { status: statusCode, headers: answered, body: Buffer.concat(chunks) },
    };
  } catch (error) {
    signal?.throwIfAborted();
    const { code, name, message } = error as NodeJS.ErrnoException;
    return {
      outcome: 'failed',
      message: `The gateway at ${gatewayUrl} did not answer: ${code ?? (message || name)}.`,
    };
  }
}

export interface GatewayRequest {
  /** Its name in the gateway's settings, and the path below its base. */
  provider: string;
  path: string;
  headers?: Record<string, string>;
  body: string;
}

/** Where this provider's API has its key. */
const keyHeaders = (provider: string, key: string): Record<string, string> =>
  provider === 'anthropic'
    ? { 'x-api-key': key, 'anthropic-version': '2023-06-01' }
    : { authorization: `Bearer ${key}` };
