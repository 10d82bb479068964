import { request } from 'undici';
import type { Outcome } from './receiver.ts';

/**
 * One attempt at handing a receiver a JSON document.
 *
 * No redirect is followed: a message goes where the settings say, or nowhere. Of what a receiver answers only the
 * status counts and, up to a limit, the words that say why it refused; should they quote the secret that was sent,
 * `redact` takes it out.
 */
const ATTEMPT_MS_MAX = 10_000;
/** A receiver's `Retry-After` is honoured up to this. */
const RETRY_AFTER_MS_MAX = 300_000;
const REASON_LENGTH_MAX = 200;
const REASON_BYTES_MAX = 64 * 1024;

/** Statuses of the 4xx that another time may do away with. */
const PASSING = new Set([408, 409, 425, 429]);
/** Statuses by which a receiver says that it takes nothing now. */
const AWAY = new Set([429, 502, 503, 504]);

export interface Post {
  url: string;
  body: string;
  headers?: Record<string, string>;
  /** Must not show up in a reason. */
  redact?: string | undefined;
}

/** Never rejects. */
export async function post({ url, body, headers = {}, redact }: Post, signal: AbortSignal): Promise<Outcome> {
  try {
    const response = await request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'loopscope', ...headers },
      body,
      signal: AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_MS_MAX)]),
    });
    const { statusCode } = response;
    if (statusCode >= 200 && statusCode < 300) {
      // Drained so that the connection can be used again; the status has said all there is.
      await response.body.dump({ limit: REASON_BYTES_MAX }).catch(() => {});
      return { outcome: 'taken' };
    }
    const said = await words(response.body).catch(() => '');
    const reason = `answered ${statusCode}${said ? `: ${redact ? said.replaceAll(redact, '…') : said}` : ''}`;
    if (statusCode < 500 && !PASSING.has(statusCode)) return { outcome: 'refused', reason };
    return {
      outcome: 'failed',
      reason,
      retryAfterMs: retryAfterMs(response.headers['retry-after']),
      isAway: AWAY.has(statusCode),
    };
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    return { outcome: 'failed', reason: code ?? name, retryAfterMs: 0, isAway: true };
  }
}

/** The beginning of an answer as one line; of a longer one than is worth reading the rest is not taken. */
async function words(body: AsyncIterable<Uint8Array>): Promise<string> {
  let text = '';
  let bytes = 0;
  const decoder = new TextDecoder();
  for await (const chunk of body) {
    bytes += chunk.length;
    text += decoder.decode(chunk, { stream: true });
    if (bytes >= REASON_BYTES_MAX) break;
  }
  return text
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, REASON_LENGTH_MAX);
}

function retryAfterMs(header: string | string[] | undefined): number {
  const seconds = Number(header ?? 0);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds * 1000, RETRY_AFTER_MS_MAX) : 0;
}
