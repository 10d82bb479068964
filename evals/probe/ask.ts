import { request } from 'undici';
import type { Config } from '../../src/config.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { providerApi } from '../../src/gateway/provider-api.ts';
import { readRoute } from '../../src/gateway/route.ts';
import type { ProbeRequest } from './settings.ts';

/**
 * One probe through the gateway, as the loop's own call would go: the same routing, limits and budgets, and a span. The
 * header `x-loop-probe` keeps it out of the loop's runs and of its cache. Whatever the answer asks for is not done.
 */
export interface Question {
  loop: string;
  suite: string;
  agent: string;
  runId: string;
  itemId: string;
  path: string;
  request: ProbeRequest;
}

export type Told =
  | { outcome: 'answered'; text: string; servedModel: string; traceId: string }
  /** `reason` begins with a code: `http_429`, `timeout`, `unreachable`, `answer_unreadable`, `no_text`, `cancelled`. */
  | { outcome: 'failed'; reason: string; traceId: string };

export interface Asking {
  gatewayUrl: string;
  config: Pick<Config, 'providers'>;
  /** A virtual key, or the provider's; `undefined` where neither is needed. */
  key: string | undefined;
  signal: AbortSignal;
}

const ANSWER_MS_MAX = 120_000;
const ANSWER_BYTES_MAX = 8 * 1024 * 1024;
/** What a header may say; ids of items are the user's own. */
const LABEL = /^[\x20-\x7e]{1,200}$/;

/** Asks once. Never throws but for bugs. */
export async function ask(question: Question, { gatewayUrl, config, key, signal }: Asking): Promise<Told> {
  const { path, request: body } = question;
  const operation = operationOf(path, config);
  if (operation === undefined)
    return failed(`path_unknown: ${path} is no model call below the gateway, such as /v1/chat/completions`);
  try {
    const answer = await request(`${gatewayUrl}${path}`, {
      method: 'POST',
      headers: { ...headersOf(question), ...keyHeaders(operation.api, key) },
      body: JSON.stringify(body),
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)]),
    });
    const traceId = String(answer.headers['x-loopscope-trace'] ?? '');
    const text = await read(answer.body);
    if (text === undefined) return failed(`too_large: the answer is over ${ANSWER_BYTES_MAX} bytes`, traceId);
    const json = parse(text);
    if (answer.statusCode !== 200)
      return failed(`http_${answer.statusCode}: ${operation.readError(json) ?? 'no reason given'}`, traceId);
    const facts = operation.readAnswer(json);
    if (!facts.complete) return failed('answer_unreadable: it is not what this API answers', traceId);
    if (facts.text === '')
      return failed('no_text: the answer has no text, a call of a tool perhaps', traceId);
    return { outcome: 'answered', text: facts.text, servedModel: facts.model ?? '', traceId };
  } catch (error) {
    if (signal.aborted) return failed('cancelled: the deadline came, or the evaluator stops');
    const { code, name } = error as NodeJS.ErrnoException;
    return failed(
      name === 'TimeoutError' ? `timeout: no answer in ${ANSWER_MS_MAX} ms` : `unreachable: ${code ?? name}`,
    );
  }
}

const failed = (reason: string, traceId = ''): Told => ({ outcome: 'failed', reason, traceId });

/** The gateway's own reading of the path and of what comes back; `undefined` for what is no model call. */
function operationOf(path: string, { providers }: Asking['config']) {
  try {
    const apis = Object.entries(providers).map(
      ([name, provider]) => [name, providerApi(name, provider).protocol.api] as const,
    );
    const route = readRoute(path, undefined, new Map(apis));
    const operation = route?.to === 'provider' && route.protocol.operation('POST', route.path);
    if (!operation) return undefined;
    const { api, readError } = route.protocol;
    return { api, readError, readAnswer: operation.readAnswer };
  } catch (error) {
    if (error instanceof LoopscopeError) return undefined;
    throw error;
  }
}

const headersOf = ({ loop, suite, agent, runId, itemId }: Question) => ({
  'content-type': 'application/json',
  'user-agent': 'loopscope-probe',
  'x-loop': loop,
  'x-loop-agent': agent,
  'x-loop-run': runId,
  'x-loop-probe': LABEL.test(suite) ? suite : 'probe',
  ...(LABEL.test(itemId) && { 'x-loop-item': itemId }),
});

/** Where this API's SDKs put a key. */
const keyHeaders = (api: string, key: string | undefined): Record<string, string> => ({
  ...(api === 'anthropic' && { 'anthropic-version': '2023-06-01' }),
  ...(key !== undefined && (api === 'anthropic' ? { 'x-api-key': key } : { authorization: `Bearer ${key}` })),
});

async function read(body: AsyncIterable<Buffer>): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) return undefined; // leaving the loop ends the answer
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
