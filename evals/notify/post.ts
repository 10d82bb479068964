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

/** Statuses by which a receiver says that it is this very message that it will never take. */
const MESSAGE_IS_WRONG: ReadonlySet<number> = new Set([400, 410, 413, 414, 415, 422]);
/** Those of the 4xx that say no more than that it is not the time. */
const NOT_NOW: ReadonlySet<number> = new Set([408, 409, 425, 429]);
/** Failures that may be this message's; all others are the receiver's, whatever it is sent. */
const PERHAPS_THIS_MESSAGE: ReadonlySet<number> = new Set([408, 409, 500]);

export interface Post {
  url: string;
  body: string;
  headers?: Record<string, string>;
  /** Must not show up in a reason. */
  redact?: string | undefined;
  /** For a service whose 401, 403 and 404 are final too: no proxy in front of it that is set up better tomorrow. */
  isStrict?: boolean;
}

/** Never rejects. */
export async function post(
  { url, body, headers = {}, redact, isStrict = false }: Post,
  signal: AbortSignal,
): Promise<Outcome> {
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
    const said = await words(response.body, redact).catch(() => '');
    const reason = `answered ${statusCode}${said ? `: ${said}` : ''}`;
    if (isFinal(statusCode, isStrict)) return { outcome: 'refused', reason };
    return {
      outcome: 'failed',
      reason,
      retryAfterMs: retryAfterMs(response.headers['retry-after']),
      isAway: !PERHAPS_THIS_MESSAGE.has(statusCode),
    };
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    return { outcome: 'failed', reason: code ?? name, retryAfterMs: 0, isAway: true };
  }
}

const isFinal = (status: number, isStrict: boolean): boolean =>
  MESSAGE_IS_WRONG.has(status) || (isStrict && status >= 400 && status < 500 && !NOT_NOW.has(status));

/** The beginning of an answer as one line; of a longer one than is worth reading the rest is not taken. */
async function words(body: AsyncIterable<Uint8Array>, redact: string | undefined): Promise<string> {
  let text = '';
  let bytes = 0;
  const decoder = new TextDecoder();
  for await (const chunk of body) {
    bytes += chunk.length;
    text += decoder.decode(chunk, { stream: true });
    if (bytes >= REASON_BYTES_MAX) break;
  }
  return (redact ? text.replaceAll(redact, '…') : text)
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, REASON_LENGTH_MAX);
}

function retryAfterMs(header: string | string[] | undefined): number {
  const seconds = Number(header ?? 0);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds * 1000, RETRY_AFTER_MS_MAX) : 0;
}
