import type { Clock } from '../clock.ts';
import type { Fetch } from '../collector-trust.ts';
import { LoopscopeError } from '../errors.ts';

const TRIES_MAX = 8;
const PAUSE_MS_MIN = 250;
const PAUSE_MS_MAX = 10_000;
const ANSWER_MS_MAX = 60_000;
/** The only answers that OTLP lets a sender come again after. */
const RETRYABLE = new Set([429, 502, 503, 504]);

export interface PostOptions {
  /** Where the collector is, without a path. */
  collectorUrl: string;
  /** The collector's token, where it asks for one. */
  token?: string | undefined;
  /** Where the collector's certificate is one of its own. */
  fetch?: Fetch | undefined;
  clock: Clock;
  signal?: AbortSignal | undefined;
}

/** What the collector did not take of a request that it otherwise stored; `undefined` when it took all. */
export interface PartialSuccess {
  rejectedSpans: number;
  message: string;
}

/**
 * Sends one OTLP/JSON request and returns once it is stored. "Not now" and a connection that fails are tried again,
 * after what `Retry-After` says or else a growing, jittered pause. The spans may be sent again at any later time
 * without being stored twice.
 * Throws `store_unavailable` when tries are used up, `store_rejected` on a refusal for good, or the signal's reason.
 */
export async function postSpans(body: string, options: PostOptions): Promise<PartialSuccess | undefined> {
  const { collectorUrl, clock, signal } = options;
  for (let tries = 1; ; tries++) {
    signal?.throwIfAborted();
    const answer = await post(body, options);
    if (answer.kind === 'stored') return answer.partial;
    if (answer.kind === 'refused')
      throw new LoopscopeError(
        'store_rejected',
        `The collector at ${collectorUrl} refused the spans: ${answer.message}`,
      );
    if (tries >= TRIES_MAX)
      throw new LoopscopeError(
        'store_unavailable',
        `The collector at ${collectorUrl} could not take the spans in ${tries} tries: ${answer.message}`,
      );
    const pauseMs = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** (tries - 1)) * (0.5 + clock.random() / 2);
    await clock.sleep(Math.min(PAUSE_MS_MAX, answer.retryAfterMs ?? pauseMs), signal);
  }
}

type PostAnswer =
  | { kind: 'stored'; partial: PartialSuccess | undefined }
  | { kind: 'later'; message: string; retryAfterMs?: number | undefined }
  | { kind: 'refused'; message: string };

async function post(body: string, options: PostOptions): Promise<PostAnswer> {
  const { collectorUrl, token, clock, signal } = options;
  const late = AbortSignal.timeout(ANSWER_MS_MAX);
  const send: Fetch = options.fetch ?? fetch;
  let response: Awaited<ReturnType<Fetch>>;
  let text: string;
  try {
    response = await send(`${collectorUrl}/v1/traces`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-loopscope-repeatable': 'true',
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
      body,
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
    text = await response.text();
  } catch (error) {
    signal?.throwIfAborted();
    const { message, cause } = error as Error;
    return { kind: 'later', message: cause instanceof Error ? cause.message || message : message };
  }
  const answer = parse(text);
  if (response.ok) {
    const { rejectedSpans = 0, errorMessage = '' } = answer.partialSuccess ?? {};
    const rejected = Number(rejectedSpans);
    const partial = rejected > 0 ? { rejectedSpans: rejected, message: errorMessage } : undefined;
    return { kind: 'stored', partial };
  }
  const message = `${response.status} ${answer.message ?? text.slice(0, 200)}`;
  if (!RETRYABLE.has(response.status)) return { kind: 'refused', message };
  return { kind: 'later', message, retryAfterMs: retryAfterMs(response.headers.get('retry-after'), clock) };
}

interface AnswerBody {
  partialSuccess?: { rejectedSpans?: string | number; errorMessage?: string };
  message?: string;
}

function parse(text: string): AnswerBody {
  try {
    return (JSON.parse(text) ?? {}) as AnswerBody;
  } catch {
    return {};
  }
}

/** `Retry-After` in its two forms: seconds, or a date. */
function retryAfterMs(header: string | null, clock: Clock): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - clock.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}
