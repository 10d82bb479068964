import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../../clock.ts';
import type { Prices } from '../../gateway/price.ts';
import { type AnswerFacts, asObject, type Operation, type Protocol } from '../../gateway/protocol.ts';
import { SseParser } from '../../gateway/sse.ts';
import { ANSWER_BYTES_MAX, callGateway, type ReplayTarget } from './gateway-call.ts';
import type { FreshCall, ModelAnswer } from './ports.ts';

/**
 * A call of the user's loop, asked anew through the real gateway. Its answer is read to the end and written anew from what
 * was read, event by event: how else a stream may be cut, or a key stand twice, reaches nobody.
 */
export interface FreshRequest {
  provider: string;
  /** Below the provider's base, with its query. */
  path: string;
  /** As the loop sent them. */
  headers: IncomingHttpHeaders;
  body: Record<string, unknown>;
  operation: Operation;
  protocol: Protocol;
  prices: Pick<Prices, 'costUsd'>;
  clock: Clock;
}

export type FreshAnswer =
  | (Reply & { outcome: 'answered'; said: readonly unknown[]; answer: ModelAnswer })
  /** The provider's, or the gateway's, own refusal. */
  | (Reply & { outcome: 'refused'; error: string; message: string })
  | { outcome: 'unreachable'; error: string; message: string };

interface Reply {
  status: number;
  headers: Record<string, string>;
  text: string;
}

export async function askFresh(
  target: ReplayTarget,
  call: FreshCall,
  { provider, path, headers, body, operation, protocol, prices, clock }: FreshRequest,
): Promise<FreshAnswer> {
  const startedAt = clock.now();
  const sent = await callGateway(target, call, {
    provider,
    path,
    headers: passedOn(headers),
    body: JSON.stringify(body),
  });
  if (sent.outcome === 'failed')
    return { outcome: 'unreachable', error: 'unreachable', message: sent.message };
  const { status, headers: answered, body: bytes } = sent.answer;
  const isStream = /^text\/event-stream/i.test(String(answered['content-type'] ?? ''));
  // An SDK takes every 2xx for an answer, so that each of them is looked into as one.
  if (status >= 400) {
    const json = parse(bytes.toString('utf8'));
    const error = protocol.readError(json) ?? String(status);
    return {
      outcome: 'refused',
      error,
      message: `The provider answered ${status} (${error}).`,
      status,
      headers: kept(answered, 'application/json'),
      text: JSON.stringify(
        refusalOf(json) ?? protocol.errorBody({ status, code: 'provider_unreachable', message: error }),
      ),
    };
  }
  const read = isStream ? readStream(operation, bytes) : readDocument(operation, bytes);
  const { facts, said, text } = read;
  return {
    outcome: 'answered',
    status,
    headers: kept(answered, isStream ? 'text/event-stream; charset=utf-8' : 'application/json'),
    said,
    text,
    answer: {
      output: facts.messages(),
      servedModel: facts.model ?? null,
      finishReasons: facts.finishReasons,
      inputTokens: facts.usage.inputTokens ?? null,
      outputTokens: facts.usage.outputTokens ?? null,
      costUsd: prices.costUsd(provider, facts.model ?? call.model, facts.usage, clock.now()) ?? null,
      durationMs: clock.now() - startedAt,
      firstChunkMs: null,
    },
  };
}

/** What a refusal says, and nothing besides. */
function refusalOf(json: unknown): object | undefined {
  const body = asObject(json);
  return body?.['error'] === undefined ? undefined : { type: body['type'], error: body['error'] };
}

interface Read {
  facts: AnswerFacts;
  /** What a reader of the answer finds in it. */
  said: unknown[];
  text: string;
}

function readDocument(operation: Operation, bytes: Buffer): Read {
  const json = parse(bytes.toString('utf8'));
  return { facts: operation.readAnswer(json), said: [json], text: JSON.stringify(json) ?? '' };
}

function readStream(operation: Operation, bytes: Buffer): Read {
  const reader = operation.readStream(ANSWER_BYTES_MAX);
  const said: unknown[] = [];
  let text = '';
  const parser = new SseParser((data, event) => {
    const isEnd = data === '[DONE]';
    const json = isEnd ? undefined : parse(data);
    // What is no JSON is kept as text: whoever guards tools does not understand it.
    if (!isEnd) said.push(json ?? data);
    const clean = isEnd ? data : JSON.stringify(json ?? null);
    const name = /^[\w.]*$/.test(event) ? event : '';
    text += `${name === '' ? '' : `event: ${name}\n`}data: ${clean}\n\n`;
    reader.event(clean);
  }, ANSWER_BYTES_MAX);
  parser.push(bytes);
  parser.end();
  return { facts: reader.facts(), said, text };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The loop's headers that the gateway gets; who the call is for is said anew. */
function passedOn(headers: IncomingHttpHeaders): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers))
    if (typeof value === 'string' && PASSED.test(name)) passed[name] = value;
  return passed;
}

const PASSED = /^(authorization|x-api-key|api-key|accept|user-agent|anthropic-.*|openai-.*|x-stainless-.*)$/;

/** Headers of the answer that mean something to an SDK. */
function kept(headers: IncomingHttpHeaders, type: string): Record<string, string> {
  const own: Record<string, string> = { 'content-type': type };
  for (const name of ['request-id', 'x-request-id', 'retry-after', 'retry-after-ms', 'x-should-retry']) {
    const value = headers[name];
    if (typeof value === 'string') own[name] = value;
  }
  return own;
}
