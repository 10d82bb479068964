import { request } from 'undici';
import type { Clock } from '../../../src/clock.ts';
import { parseJson } from '../json-answer.ts';
import { ScorerError } from '../scorer.ts';
import type { ScorerServices } from '../services.ts';
import { anthropic, type Dialect, type JudgeAnswer, type JudgeQuestion, openai } from './dialect.ts';
import { modelFamily } from './family.ts';
import type { JudgeModel } from './settings.ts';

/**
 * Asks a judge, over HTTP. What may pass is tried again within a deadline: no connection, 408, 429 and 5xx. The
 * server's own delay wins over ours, and one that goes past the deadline ends the asking. No redirect is followed, so
 * that a key goes nowhere but where the suite sends it. Every other ending is a `ScorerError`: no score, never 0.
 */
export type Ask = (question: Omit<JudgeQuestion, 'model' | 'temperature'>) => Promise<Answered>;

export type Answered = Extract<JudgeAnswer, { outcome: 'answered' }>;

const TRIES_MAX = 3;
/** How long a judge may take for one answer. */
export const TRY_MS_MAX = 60_000;
const DEADLINE_MS = 120_000;
const BACKOFF_MS = 500;
const ANSWER_BYTES_MAX = 1_000_000;
const ERROR_SHOWN_MAX = 200;
const GATEWAY_KEY_ENV = 'LOOPSCOPE_JUDGE_KEY';

const RETRYABLE = new Set([408, 429, 500, 502, 503, 504, 529]);

/** By whose API a judge is called. */
export const judgeApi = ({ api, model }: JudgeModel): 'openai' | 'anthropic' =>
  api ?? (modelFamily(model) === 'claude' ? 'anthropic' : 'openai');

/** A judge ready to be asked. Throws `ScorerError` (`judge_key_missing`) at the first question where it has no key. */
export function judgeOf(
  settings: JudgeModel,
  services: ScorerServices,
  { signal, tryMs }: { signal: AbortSignal; tryMs: number },
): Ask {
  const api = judgeApi(settings);
  const dialect = api === 'anthropic' ? anthropic : openai;
  const base = settings.base_url ?? (api === 'anthropic' ? services.gatewayUrl : `${services.gatewayUrl}/v1`);
  return async (question) => {
    const key = keyOf(settings, services);
    const body = JSON.stringify(
      dialect.body({ ...question, model: settings.model, temperature: settings.temperature }),
    );
    const answer = await withRetries(services.clock, signal, () =>
      send(`${base}${dialect.path}`, { dialect, key, body, signal, tryMs }),
    );
    if (answer.outcome !== 'malformed') {
      const { model, inputTokens, outputTokens } = answer;
      services.paid?.({ api, model, inputTokens, outputTokens });
    }
    if (answer.outcome === 'answered') return answer;
    if (answer.outcome === 'refused')
      throw new ScorerError(
        'judge_refused',
        `${settings.model} declined: ${answer.why.slice(0, ERROR_SHOWN_MAX)}`,
      );
    if (answer.outcome === 'cut_short')
      throw new ScorerError('judge_cut_short', `${settings.model} had not ended at its limit of tokens`);
    throw new ScorerError('judge_unparsable', `${base} did not answer as the ${api} API does`);
  };
}

function keyOf({ base_url, api_key_env }: JudgeModel, { keyOf }: ScorerServices): string | undefined {
  const variable = api_key_env ?? (base_url === undefined ? GATEWAY_KEY_ENV : undefined);
  if (variable === undefined) return undefined;
  const key = keyOf(variable);
  if (key !== undefined) return key;
  const how =
    api_key_env === undefined
      ? 'make a virtual key by `loopscope keys create --loop judge` and put it there'
      : 'put the key there';
  throw new ScorerError('judge_key_missing', `the judge needs the variable ${variable}: ${how}`);
}

type Sent =
  | { outcome: 'read'; answer: JudgeAnswer }
  | { outcome: 'retry'; error: ScorerError; afterMs: number };

async function withRetries(
  clock: Clock,
  signal: AbortSignal,
  once: () => Promise<Sent>,
): Promise<JudgeAnswer> {
  const deadline = clock.now() + DEADLINE_MS;
  for (let tries = 1; ; tries++) {
    const sent = await once();
    if (sent.outcome === 'read') return sent.answer;
    const backoffMs = BACKOFF_MS * 2 ** (tries - 1) * (0.5 + clock.random());
    const waitMs = Math.max(sent.afterMs, backoffMs);
    if (tries === TRIES_MAX || clock.now() + waitMs > deadline) throw sent.error;
    await clock.sleep(waitMs, signal).catch(() => {});
    if (signal.aborted) throw stopped();
  }
}

interface Sending {
  dialect: Dialect;
  key: string | undefined;
  body: string;
  signal: AbortSignal;
  tryMs: number;
}

async function send(url: string, { dialect, key, body, signal, tryMs }: Sending): Promise<Sent> {
  try {
    const response = await request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'loopscope', ...dialect.headers(key) },
      body,
      signal: AbortSignal.any([signal, AbortSignal.timeout(tryMs)]),
    });
    const text = await readText(response.body as AsyncIterable<Buffer>);
    const { statusCode } = response;
    if (statusCode === 200) return { outcome: 'read', answer: dialect.read(parseJson(text)) };
    const said = `${url} answered ${statusCode}: ${text.slice(0, ERROR_SHOWN_MAX)}`;
    if (RETRYABLE.has(statusCode))
      return {
        outcome: 'retry',
        error: new ScorerError('judge_unreachable', said),
        afterMs: retryAfterMs(response.headers['retry-after']),
      };
    throw new ScorerError(
      'judge_rejected',
      /temperature/i.test(text) ? `${said} (\`temperature: null\` sends none)` : said,
    );
  } catch (error) {
    if (error instanceof ScorerError) throw error;
    if (signal.aborted) throw stopped();
    const { name, code, message } = error as NodeJS.ErrnoException;
    if (name === 'TimeoutError')
      throw new ScorerError('judge_timeout', `${url} did not answer within ${tryMs} ms`);
    return {
      outcome: 'retry',
      error: new ScorerError('judge_unreachable', `${url}: ${code ?? message}`),
      afterMs: 0,
    };
  }
}

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    // Leaving the loop ends the answer.
    if (bytes > ANSWER_BYTES_MAX)
      throw new ScorerError('judge_unparsable', `an answer of over ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Seconds, as APIs of models send them; a date is not understood and leaves the delay to us. */
function retryAfterMs(header: string | string[] | undefined): number {
  const seconds = Number(header ?? 0);
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0;
}

const stopped = () => new ScorerError('scoring_stopped', 'scoring was stopped while the judge was asked');
