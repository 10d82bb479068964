import type { IncomingMessage, ServerResponse } from 'node:http';
import { LoopscopeError } from '../errors.ts';
import { answerError, toGatewayError } from './answer-error.ts';
import { readBody } from './body.ts';
import { callHandler } from './call.ts';
import type { CallContext } from './context.ts';
import { pathPattern } from './path-pattern.ts';
import type { Protocol } from './protocol.ts';
import { type Route, readRoute } from './route.ts';
import { handleStatement } from './statements.ts';

/** What a request over HTTP is: a call, a statement, or a question about the gateway itself. */
export function requestListener(
  context: CallContext,
  isClosing: () => boolean,
  metrics: () => string | Promise<string>,
) {
  const handleCall = callHandler(context);

  async function handle(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const route = routeOf(context, message);
    if (route === undefined) return await serveOwn(message, response);
    if (isClosing()) response.setHeader('connection', 'close');
    const body = await readBody(message);
    if (route.to === 'provider') return await handleCall(route, { message, body, response });
    if (message.method !== 'POST') throw unknownPath(message);
    const said = await handleStatement(context, route, { headers: message.headers, body });
    answer(response, 202, 'application/json', JSON.stringify(said));
  }

  async function serveOwn(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = message.method === 'GET' ? message.url : undefined;
    if (path === '/healthz') answer(response, 200, 'text/plain', 'ok');
    else if (path === '/readyz') {
      const why = isClosing() ? 'closing' : context.recorder.whyNot();
      const reasons = [why, context.recorder.trouble()].filter((reason) => reason !== undefined);
      const ready = why === undefined; // while no collector takes spans they wait on disk
      answer(response, ready ? 200 : 503, 'application/json', JSON.stringify({ ready, reasons }));
    } else if (path === '/metrics') answer(response, 200, 'text/plain; version=0.0.4', await metrics());
    else throw unknownPath(message);
  }

  return (message: IncomingMessage, response: ServerResponse): void => {
    handle(message, response).catch((error) => refuse(context, error, message, response));
  };
}

function answer(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) }).end(text);
}

function routeOf({ settings }: CallContext, message: IncomingMessage): Route | undefined {
  const version = message.headers['anthropic-version'];
  return readRoute(message.url ?? '/', Array.isArray(version) ? version[0] : version, settings.others);
}

const unknownPath = ({ method, url }: IncomingMessage) =>
  new LoopscopeError(
    'not_found',
    `Nothing is at ${method} ${pathPattern((url ?? '/').split('?')[0]!)}. ` +
      'Expected /v1/… or /openai/v1/… (OpenAI), /anthropic/v1/… or /v1/messages (Anthropic), /{provider}/… for another ' +
      'one of the settings, any of them behind /loops/{loop}/agents/{agent}, or POST ' +
      '/loops/{loop}/runs/{run}/verdict, …/effects or …/end.',
  );

function refuse(
  context: CallContext,
  error: Error,
  message: IncomingMessage,
  response: ServerResponse,
): void {
  if (message.destroyed && !message.complete) return; // the caller went away in the middle of its request
  const told = toGatewayError(error) ?? {
    status: 500,
    code: 'internal',
    message: 'The gateway failed; its log says more.',
    retryable: true,
  };
  if (told.code === 'internal') context.log.error({ err: error }, 'a request failed');
  context.metrics.refused(told.code);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  // After a body that was not read to its end the connection cannot serve another request.
  const headers: Record<string, string> = message.complete ? {} : { connection: 'close' };
  answerError(response, protocolOf(context, message), told, headers);
}

/** The API whose words the caller understands, as far as the path tells. */
function protocolOf(context: CallContext, message: IncomingMessage): Protocol | undefined {
  try {
    const route = routeOf(context, message);
    return route?.to === 'provider' ? route.protocol : undefined;
  } catch {
    return undefined;
  }
}
