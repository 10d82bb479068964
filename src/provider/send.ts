import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Frame } from './dialect.ts';

/** Ways to answer a request. */

/** Waits so many milliseconds, not at all for 0; rejects when `hangUp` fires. */
export type Pause = (ms: number) => Promise<void>;

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, 'application/json', JSON.stringify(body));
}

export function sendText(response: ServerResponse, body: string): void {
  send(response, 200, 'text/plain; charset=utf-8', body);
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

/**
 * Sends server-sent events, `latencyMs` spread evenly before those that wait; all at once when it is 0.
 * Rejects when `hangUp` fires first.
 */
export async function sendStream(
  response: ServerResponse,
  frames: readonly Frame[],
  latencyMs: number,
  pause: Pause,
  hangUp: AbortSignal,
): Promise<void> {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
  });
  if (latencyMs <= 0) {
    response.end(frames.map((frame) => frame.text).join(''));
    return;
  }
  const waits = frames.filter((frame) => frame.waits).length;
  if (waits === 0) await pause(latencyMs);
  for (const frame of frames) {
    if (frame.waits) await pause(latencyMs / waits);
    if (!response.write(frame.text)) await once(response, 'drain', { signal: hangUp });
  }
  response.end();
}
