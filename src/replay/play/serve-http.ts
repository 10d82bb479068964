import type { IncomingMessage, ServerResponse } from 'node:http';
import { LoopscopeError } from '../../errors.ts';
import type { GatewayError, Protocol } from '../../gateway/protocol.ts';
import { LIMITS } from '../../span/limits.ts';
import { jsonText } from './message-parts.ts';

/** Requests and answers of the server that a replay's loop runs against, but for what is in them. */

/** In the words of the SDK that asked; `x-should-retry` keeps it from asking again. */
export function refuse(response: ServerResponse, protocol: Protocol, error: LoopscopeError): void {
  const { status, code, message } = error;
  const told: GatewayError = { status, code, message };
  response.setHeader('x-should-retry', 'false');
  if (status === 413) response.setHeader('connection', 'close');
  sendJson(response, status, protocol.errorBody(told));
}

export function sendJson(response: ServerResponse, status: number, body: object): void {
  const text = jsonText(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

/** A body whole. Throws `body_too_large`. */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > LIMITS.gatewayBodyBytesMax)
      throw new LoopscopeError(
        'body_too_large',
        `A request may have ${LIMITS.gatewayBodyBytesMax} bytes; this one has more.`,
      );
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
