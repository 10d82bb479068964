import type { ServerResponse } from 'node:http';
import { LoopscopeError } from '../errors.ts';
import type { GatewayError, Protocol } from './protocol.ts';

/** The gateway's own errors on their way to a caller: worded as the SDK that called expects it. */

/** What the caller is told; `undefined` for what is a bug and not an expected refusal. */
export function toGatewayError(error: unknown): (GatewayError & { retryable: boolean }) | undefined {
  if (error instanceof LoopscopeError) {
    const { status, code, message, retryable } = error;
    return { status, code, message, retryable };
  }
  return undefined;
}

/** Writes an error as the whole response. `protocol` is `undefined` where no provider's API was called. */
export function answerError(
  response: ServerResponse,
  protocol: Protocol | undefined,
  error: GatewayError & { retryable: boolean },
  headers: Record<string, string> = {},
): void {
  const { code, message } = error;
  const body = JSON.stringify(protocol?.errorBody(error) ?? { error: { code, message } });
  response.writeHead(error.status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    // Both SDKs heed it: trying again what cannot succeed only delays the message.
    'x-should-retry': String(error.retryable),
    ...headers,
  });
  response.end(body);
}
