import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Clock } from '../../clock.ts';
import type { ModelCall } from '../recording.ts';
import type { Rendered } from './answers.ts';

/**
 * Sends an answer at once; with `pace`, as the recorded call came: each piece of a stream when it came, anything else after as
 * long as it took.
 */
export async function sendRendered(
  response: ServerResponse,
  { isStream, frames, body }: Rendered,
  pace: ModelCall | undefined,
  clock: Clock,
): Promise<void> {
  const hangUp = new AbortController();
  response.once('close', () => hangUp.abort());
  const startedAt = clock.now();
  const waitUntil = async (ms: number | undefined) => {
    const waitMs = startedAt + (ms ?? 0) - clock.now();
    if (waitMs > 0) await clock.sleep(waitMs, hangUp.signal);
  };
  try {
    if (!isStream) {
      await waitUntil(pace?.durationMs ?? undefined);
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(body);
      return;
    }
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
    });
    const due = dueTimes(pace);
    let chars = 0;
    for (const frame of frames) {
      if (frame.chars > 0) await waitUntil(due(chars));
      chars += frame.chars;
      if (!response.write(frame.text)) await once(response, 'drain', { signal: hangUp.signal });
    }
    response.end();
  } catch (error) {
    if (!hangUp.signal.aborted) throw error;
  }
}

/** When the piece came that begins behind so many characters, in milliseconds from the request. */
function dueTimes(pace: ModelCall | undefined): (chars: number) => number | undefined {
  const pieces = pace?.pieces ?? [];
  let at = 0;
  let before = 0;
  return (chars) => {
    while (at < pieces.length - 1 && before + pieces[at]![1] <= chars) before += pieces[at++]![1];
    return pieces[at]?.[0];
  };
}
