import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import type { Clock } from '../../clock.ts';
import { LoopscopeError } from '../../errors.ts';
import { openai } from '../../gateway/openai.ts';
import type { Prices } from '../../gateway/price.ts';
import { asObject, type Operation, type Protocol } from '../../gateway/protocol.ts';
import { type CallRoute, readRoute } from '../../gateway/route.ts';
import type { LoopDefinition } from '../../registry/loop.ts';
import type { Recording } from '../recording.ts';
import { render } from './answers.ts';
import { askedTools, providerTools } from './asked-tools.ts';
import { askFresh, type FreshAnswer } from './fresh.ts';
import type { ReplayTarget } from './gateway-call.ts';
import type { Overrides } from './overrides.ts';
import { patched } from './patch.ts';
import type { FreshCall, Mode } from './ports.ts';
import { type LoopCall, readCall } from './read-call.ts';
import { sendRendered } from './send.ts';
import { readBody, refuse, sendJson } from './serve-http.ts';
import type { Session } from './session.ts';
import { readStatement } from './statements.ts';
import type { Api } from './wire/wire.ts';

/**
 * The gateway that the user's own loop runs against while a run is replayed: it speaks OpenAI's and Anthropic's APIs, under
 * every path that the real one does. What the record answers goes out as it was recorded; what is to be fresh goes through
 * the real gateway.
 *
 * No answer goes out before all of it has been read and every tool that it would have the loop call is allowed: a stream is
 * held until its end, and what goes out is written anew from what was read, so that the loop's SDK can find nothing in it
 * that was not seen here.
 */
export interface ServeOptions {
  recording: Recording;
  session: Session;
  mode: Mode;
  overrides: Overrides;
  /** Where fresh calls go; `undefined` in `exact`. */
  target: ReplayTarget | undefined;
  prices: Pick<Prices, 'costUsd'>;
  providerName: (provider: string) => string;
  definition: LoopDefinition | undefined;
  /** Whether answers take the time that they took. */
  paced: boolean;
  clock: Clock;
  log: Logger;
  /** Told when the replay has stopped: the loop is to be ended. */
  onStop: () => void;
}

export interface ReplayServer {
  url: string;
  close(): Promise<void>;
}

/** Starts it on a free port of loopback. */
export async function startReplayServer(options: ServeOptions): Promise<ReplayServer> {
  const server = createServer((request, response) => {
    handle(options, request, response).catch((error: unknown) => {
      if (response.headersSent || response.destroyed) return void response.destroy();
      if (error instanceof LoopscopeError) return refuse(response, openai, error);
      options.log.error({ err: error }, 'replay: a request failed');
      response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function handle(
  options: ServeOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { session, recording } = options;
  // No page in a browser has a say here, and only a browser sends Origin.
  if (request.headers.origin !== undefined)
    throw new LoopscopeError('bad_input', 'A replay serves programs, not web pages (Origin).');
  const body = await readBody(request);
  const version = request.headers['anthropic-version'];
  const others = new Map(recording.steps.flatMap((s) => (s.kind === 'call' ? [otherApi(options, s)] : [])));
  const route = readRoute(request.url ?? '/', typeof version === 'string' ? version : undefined, others);
  if (request.method === 'HEAD' || request.url === '/healthz') return sendJson(response, 200, {});
  if (route?.to === 'statement') {
    for (const said of readStatement(route.kind, body)) session.transcript.say(said);
    return sendJson(response, 200, { run: route.run, trace: recording.traceId });
  }
  const protocol = route?.protocol ?? openai;
  const operation = route?.protocol.operation(request.method ?? 'GET', route.path);
  if (!route || !operation) return notServed(options, request, response, protocol);
  if (session.stopped !== undefined)
    return refuse(response, protocol, new LoopscopeError('tool_withheld', session.stopped));
  try {
    const call = await readCall(options, route, operation, request, body);
    if (operation.name !== 'chat') {
      const why = `What was answered to calls of ${operation.name} is not on record.`;
      session.diverge('call_unmatched', call.call.agent, why);
      throw new LoopscopeError('replay_diverged', why);
    }
    await answerCall(options, { route, operation, request, response, ...call });
  } catch (error) {
    if (!(error instanceof LoopscopeError)) throw error;
    refuse(response, protocol, error);
  }
}

interface Asked extends LoopCall {
  route: CallRoute;
  operation: Operation;
  request: IncomingMessage;
  response: ServerResponse;
}

async function answerCall(options: ServeOptions, asked: Asked): Promise<void> {
  const { session, mode, clock, paced } = options;
  const { call, api, json, response } = asked;
  const atMs = session.transcript.begin();
  const found = session.meet(call);
  if (mode !== 'exact') return answerFresh(options, asked, found, atMs);
  if (found.outcome === 'unmatched')
    throw new LoopscopeError(
      'replay_diverged',
      `This call is not on record${found.nearest ? '; against the nearest that is' : ''}: ${
        found.differences.join('; ') || 'the record has no more calls'
      }.`,
    );
  const answer = session.recorded(found);
  if (!answer) throw new LoopscopeError('recording_incomplete', 'What was answered to it was not recorded.');
  const rendered = render(api, answer, found.recorded, {
    stream: call.stream,
    streamUsage: asObject(json['stream_options'])?.['include_usage'] === true,
    createdS: Math.floor(clock.now() / 1000),
  });
  // What goes out is read again as a loop would read it, and not trusted for having been recorded.
  const said = rendered.isStream ? eventsOf(rendered.frames) : [JSON.parse(rendered.body) as unknown];
  session.keep(call, atMs, { outcome: 'answered', answer, match: undefined }, found, false);
  requireAllowed(options, call, api, said);
  await sendRendered(response, rendered, paced ? found.recorded : undefined, clock);
}

async function answerFresh(
  options: ServeOptions,
  asked: Asked,
  found: ReturnType<Session['meet']>,
  atMs: number,
): Promise<void> {
  const { session, overrides, target, prices, providerName, clock } = options;
  const { call, api, json, response, route, operation, request } = asked;
  const isMaker = call.role === 'maker' || call.role === '';
  const body = isMaker ? patched(api, json, overrides, call.provider) : json;
  const own = session.guard(call.agent, providerTools(api, body));
  if (own !== undefined) return stop(options, own);
  const said = await askFresh(target!, call, {
    provider: providerName(route.provider),
    path: route.path + route.query,
    headers: request.headers,
    body,
    operation,
    protocol: route.protocol,
    prices,
    clock,
  });
  const { model = call.model } = operation.readRequest(body);
  const changed = { ...call, model, input: operation.readContent(body).messages() };
  session.keep(changed, atMs, outcomeOf(said), found, true);
  if (said.outcome === 'answered') requireAllowed(options, call, api, said.said);
  // Another answer may have ended the replay in the meantime.
  if (session.stopped !== undefined) throw new LoopscopeError('tool_withheld', session.stopped);
  if (said.outcome === 'unreachable') throw new LoopscopeError('provider_unreachable', said.message);
  response.writeHead(said.status, said.headers);
  response.end(said.text);
}

const outcomeOf = (said: FreshAnswer) =>
  said.outcome === 'answered'
    ? ({ outcome: 'answered', answer: said.answer, match: undefined } as const)
    : ({ outcome: 'failed', error: said.error, message: said.message } as const);

/** Throws, and stops the replay, where an answer would have the loop call what it must not, or cannot be read. */
function requireAllowed(
  options: ServeOptions,
  { agent }: FreshCall,
  api: Api,
  said: readonly unknown[],
): void {
  const asked = askedTools(api, said);
  if (asked.outcome === 'not_understood') {
    const why = `An answer is not as its API answers (${asked.why}), and what it would do cannot be told.`;
    stop(options, options.session.stop('not_understood', agent, why));
  }
  const withheld = options.session.guard(agent, asked.tools);
  if (withheld !== undefined) stop(options, withheld);
}

function stop(options: ServeOptions, message: string): never {
  options.onStop();
  throw new LoopscopeError('tool_withheld', message);
}

/** The data of frames, as a reader of the stream has them. */
const eventsOf = (frames: readonly { text: string }[]): unknown[] =>
  frames.flatMap(({ text }) => {
    const data = text.slice(text.indexOf('data: ') + 'data: '.length).trimEnd();
    return data === '[DONE]' ? [] : [JSON.parse(data) as unknown];
  });

const otherApi = ({ providerName }: ServeOptions, step: { provider: string; api: Api | null }) =>
  [providerName(step.provider), step.api === 'messages' ? 'anthropic' : 'openai'] as const;

/** A look at the list of models and the like: not recorded, and no reason to end a replay. */
function notServed(
  { session, recording }: ServeOptions,
  request: IncomingMessage,
  response: ServerResponse,
  protocol: Protocol,
): void {
  const path = (request.url ?? '').replace(/\?.*$/s, '');
  if (request.method === 'GET' && path.endsWith('/models')) {
    const calls = recording.steps.filter((step) => step.kind === 'call');
    const data = [...new Set(calls.map(({ model }) => model))].map((id) => ({ id, object: 'model' }));
    sendJson(response, 200, { object: 'list', data, has_more: false });
    return;
  }
  session.refused++;
  refuse(
    response,
    protocol,
    new LoopscopeError(
      'not_found',
      `A replay answers calls of models; ${request.method} ${path} is none, and not on record.`,
    ),
  );
}
