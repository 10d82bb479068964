import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import { type Clock, systemClock } from '../clock.ts';
import { LoopscopeError } from '../errors.ts';
import type { RunRecord } from '../records/record.ts';
import { type Answers, indexAnswers } from './answers.ts';
import { anthropic } from './anthropic.ts';
import type { Dialect, Failure } from './dialect.ts';
import { openai } from './openai.ts';
import { explain, readQuestion } from './question.ts';
import { type Pause, sendJson, sendStream, sendText } from './send.ts';

/**
 * A model provider that answers from recorded runs: OpenAI chat completions and Anthropic messages, streaming or
 * not, with the model, the usage and the latency that were recorded. What it says depends on the records and
 * the order of the calls alone.
 */

export interface RecordedProviderOptions {
  records: Iterable<RunRecord>;
  host?: string;
  /** 0 picks a free one. */
  port: number;
  /** How long an answer takes: as recorded, or always so many milliseconds. Streams spread it over their pieces. */
  latency: 'recorded' | number;
  log?: Logger;
  clock?: Clock;
}

export interface RecordedProvider {
  url: string;
  /** Stops listening and cuts what is under way. */
  close(): Promise<void>;
  stats: ProviderStats;
}

/** Live counts. */
export interface ProviderStats {
  /** Records that hold an answer, and those that cannot be asked for. */
  readonly records: number;
  readonly skipped: number;
  /** Requests answered from a record, and refused. */
  answered: number;
  refused: number;
}

const DIALECTS: Record<string, Dialect> = {
  '/v1/chat/completions': openai,
  '/openai/v1/chat/completions': openai,
  '/v1/messages': anthropic,
  '/anthropic/v1/messages': anthropic,
};

const MODEL_PATHS = new Set(['/v1/models', '/openai/v1/models', '/anthropic/v1/models']);

/** Starts it. Throws `port_in_use`. */
export async function startRecordedProvider(options: RecordedProviderOptions): Promise<RecordedProvider> {
  const answers = indexAnswers(options.records);
  const stats: ProviderStats = {
    records: answers.counts.answers,
    skipped: answers.counts.skipped,
    answered: 0,
    refused: 0,
  };
  const clock = options.clock ?? systemClock();
  const context: Context = { answers, stats, clock, latency: options.latency };
  const server = createServer((request, response) => {
    handle(context, request, response).catch((error: Error) => {
      // The caller hung up, or `close` cut the connection: nobody is left to answer.
      if (response.destroyed) return;
      options.log?.error({ err: error }, 'provider: request failed');
      response.destroy();
    });
  });
  const host = options.host ?? '127.0.0.1';
  const port = await listen(server, host, options.port);
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  options.log?.info({ url, answers: stats.records, skipped: stats.skipped }, 'recorded provider listens');
  return {
    url,
    stats,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Context {
  answers: Answers;
  stats: ProviderStats;
  clock: Clock;
  latency: 'recorded' | number;
}

async function handle(context: Context, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? '/').replace(/\?.*$/s, '');
  const dialect = Object.hasOwn(DIALECTS, path) ? DIALECTS[path] : undefined;
  if (dialect && request.method === 'POST') return converse(context, dialect, request, response);
  if (request.method === 'GET' && MODEL_PATHS.has(path)) {
    const asAnthropic = path.startsWith('/anthropic') || request.headers['anthropic-version'] !== undefined;
    return sendJson(response, 200, (asAnthropic ? anthropic : openai).models(context.answers.models()));
  }
  // Coding agents look whether their base URL is there with a HEAD request.
  if (request.method === 'HEAD' || path === '/healthz') return sendText(response, 'ok');
  if (path === '/readyz') return sendJson(response, 200, { ready: true, reasons: [] });
  if (path === '/metrics') return sendText(response, metrics(context.stats));
  const message = `${request.method} ${path} is not served here. POST /v1/chat/completions or /v1/messages, or GET /v1/models.`;
  refuse(context, openai, response, { status: 404, code: 'not_found', message });
}

async function converse(
  context: Context,
  dialect: Dialect,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const hangUp = new AbortController();
  response.once('close', () => hangUp.abort());
  const read = await readQuestion(dialect, request);
  if (read.outcome === 'refused') return refuse(context, dialect, response, read.failure);
  const { question } = read;
  const found = context.answers.take(question.model, question.userText);
  if (found.outcome !== 'answer') return refuse(context, dialect, response, explain(question, found));

  context.stats.answered++;
  const { answer } = found;
  const latencyMs = context.latency === 'recorded' ? answer.latencyMs : context.latency;
  const pause: Pause = async (ms) => {
    if (ms > 0) await context.clock.sleep(ms, hangUp.signal);
  };
  response.setHeader(dialect.requestIdHeader, `req_${answer.id}`);
  if (question.stream)
    return sendStream(response, dialect.stream(answer, question), latencyMs, pause, hangUp.signal);
  await pause(latencyMs);
  sendJson(response, 200, dialect.document(answer));
}

function refuse(context: Context, dialect: Dialect, response: ServerResponse, failure: Failure): void {
  context.stats.refused++;
  // Part of a body that is too large may still be on its way; the connection cannot be used again.
  if (failure.status === 413) response.setHeader('connection', 'close');
  sendJson(response, failure.status, dialect.error(failure));
}

const metrics = (stats: ProviderStats) =>
  [
    '# TYPE loopscope_provider_answered_total counter',
    `loopscope_provider_answered_total ${stats.answered}`,
    '# TYPE loopscope_provider_refused_total counter',
    `loopscope_provider_refused_total ${stats.refused}`,
    '',
  ].join('\n');

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const message = `recorded provider: port ${port} on ${host} is in use; choose another with --port (0 picks a free one).`;
      reject(error.code === 'EADDRINUSE' ? new LoopscopeError('port_in_use', message) : error);
    });
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
  });
}
