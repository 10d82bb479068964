import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { Dispatcher } from 'undici';
import type { Clock } from '../clock.ts';
import { LoopscopeError } from '../errors.ts';
import { answerError, toGatewayError } from './answer-error.ts';
import { callSpan } from './call-span.ts';
import { hasOwnKey, reasonPhrase, requestHeaders, responseHeaders } from './headers.ts';
import { type IdentityOptions, identify, roleOf } from './identity.ts';
import type { Metrics } from './metrics.ts';
import type { Protocol } from './protocol.ts';
import { callProvider, type ProviderCall, type ProviderTarget } from './provider.ts';
import type { CallRoute } from './route.ts';
import type { Runs } from './runs.ts';
import { openTap, type Tap } from './tap.ts';
import type { Tracing } from './tracing.ts';

/** What a call passes through, put together once at the start. */
export interface CallContext {
  targets: Record<Protocol['provider'], ProviderTarget>;
  connections: Dispatcher;
  identity: IdentityOptions;
  runs: Runs;
  tracing: Tracing;
  metrics: Metrics;
  clock: Clock;
  log: Logger;
  /** Calls whose span is still to come. */
  unrecorded: Set<Promise<void>>;
}

/**
 * One request on its way: who is calling → the provider → its answer back, byte for byte → a span.
 * `taken` is called once the response is ours to write; until then a refusal is thrown.
 */
export async function handleCall(
  context: CallContext,
  route: CallRoute,
  incoming: {
    message: IncomingMessage;
    body: Buffer | undefined;
    response: ServerResponse;
    taken: () => void;
  },
): Promise<void> {
  const { runs, clock, metrics, log } = context;
  const { message, body, response } = incoming;
  const { protocol } = route;
  const method = message.method ?? 'GET';
  const target = context.targets[protocol.provider];
  const startNs = clock.nowNs();

  const caller = await identify(message.headers, route, context.identity);
  const operation = protocol.operation(method, route.path);
  const request = operation && protocol.readRequest(parseBody(body));
  const { loop, remote } = caller;
  // A request that is no model call joins a run and opens none: a look at the list of models is no work.
  const runId = caller.runId ?? (operation ? runs.implicitRun(loop) : runs.openImplicitRun(loop));
  const registered = caller.definition !== undefined;
  const run = runId && runs.touch({ loop, runId, registered, traceId: remote?.traceId }, startNs);
  if (run) runs.callStarted(run);
  const traceId = remote?.traceId ?? (run ? run.traceId : clock.randomHex(16));
  const ours = { ...(run && { 'x-loopscope-run': run.runId }), 'x-loopscope-trace': traceId };
  incoming.taken();
  const recorded = Promise.withResolvers<void>();
  context.unrecorded.add(recorded.promise);

  let status: number | undefined;
  let firstChunkNs: bigint | undefined;
  let tap: Tap | undefined;
  let over = false;
  /** Ends the call, once: what happens first decides how it ended. */
  const finish = (errorType?: string) => {
    if (over) return;
    over = true;
    const endNs = clock.nowNs();
    const { agent: name, parentAgent: parent, role } = caller;
    const parentRole = parent === undefined ? undefined : roleOf(caller.definition, parent, undefined);
    if (run) runs.callEnded(run, { name, parent, role, parentRole }, startNs, endNs);
    metrics.request(protocol.provider, status ?? 0);
    const record = {
      method,
      route,
      operation,
      caller,
      run: run || undefined,
      traceId,
      target,
      request,
      startNs,
      endNs,
    };
    void (async () => {
      const read = (await tap?.end()) ?? {};
      if (read.skipped) metrics.unread(read.skipped);
      const spanId = clock.randomHex(8);
      const endMs = clock.now();
      context.tracing.emit(
        callSpan({ ...record, spanId, endMs, firstChunkNs, status, errorType, tap: read }),
      );
    })()
      .catch((error: Error) => log.error({ err: error }, 'a call could not be recorded'))
      .finally(() => {
        context.unrecorded.delete(recorded.promise);
        recorded.resolve();
      });
  };
  const refuse = (error: LoopscopeError, errorType: string) => {
    metrics.refused(error.code);
    status = error.status;
    answerError(response, protocol, toGatewayError(error)!, ours);
    finish(errorType);
  };

  let provider: ProviderCall | undefined;
  response.on('finish', () => finish());
  // A caller that is gone in the middle of a write is told of by `close`, which follows.
  response.on('error', () => {});
  response.on('close', () => {
    if (response.writableFinished) return;
    finish('client_disconnected');
    provider?.cancel();
  });
  if (response.destroyed) return finish('client_disconnected');

  const needsKey = caller.virtualKey && !hasOwnKey(message.headers, protocol);
  if (needsKey && target.apiKey === undefined && target.apiKeyEnv !== undefined)
    return refuse(keyMissing(protocol.provider, target.apiKeyEnv), 'provider_key_missing');

  provider = callProvider(
    context.connections,
    target,
    {
      method,
      path: route.path + route.query,
      headers: requestHeaders(message.rawHeaders, protocol, needsKey ? target.apiKey : undefined),
      body,
    },
    {
      start: (code, statusText, raw) => {
        status = code;
        const header = headerReader(raw);
        const contentType = header('content-type');
        response.sendDate = false;
        response.writeHead(code, reasonPhrase(statusText), responseHeaders(raw, ours));
        // A stream's first words may be long in coming: its caller learns now that it was accepted.
        if (contentType.startsWith('text/event-stream')) response.flushHeaders();
        const contentEncoding = header('content-encoding');
        const readable = operation !== undefined;
        tap = openTap({ protocol, status: code, contentType, contentEncoding, readable });
      },
      data: (chunk) => {
        firstChunkNs ??= clock.nowNs();
        tap?.write(chunk);
        return response.write(chunk);
      },
      end: () => response.end(),
      fail: (error) => {
        if (!response.headersSent) return refuse(...unreachable(protocol.provider, target, error));
        finish('stream_interrupted');
        // Closing it in good order would tell the caller that the answer is whole.
        response.destroy();
      },
    },
  );
  response.on('drain', provider.resume);
}

/** The provider judges a body that is no JSON; we just cannot read it. */
function parseBody(body: Buffer | undefined): unknown {
  try {
    return body && JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

function headerReader(raw: readonly string[]): (name: string) => string {
  return (name) => {
    for (let i = 0; i + 1 < raw.length; i += 2) if (raw[i]!.toLowerCase() === name) return raw[i + 1]!;
    return '';
  };
}

const keyMissing = (provider: string, variable: string) =>
  new LoopscopeError(
    'provider_key_missing',
    `A Loopscope key was accepted, but the gateway has no key for ${provider} to call it with. ` +
      `Set ${variable} in the gateway's environment, or \`providers.${provider}.api_key_env\`, and restart it.`,
  );

function unreachable(provider: string, target: ProviderTarget, error: Error): [LoopscopeError, string] {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  if (code === 'UND_ERR_HEADERS_TIMEOUT')
    return [
      new LoopscopeError('provider_timeout', `${provider} (${target.origin}) was silent for too long.`),
      'timeout',
    ];
  const message =
    `${provider} (${target.origin}) did not answer: ${code}. ` +
    `Check \`providers.${provider}.base_url\`, or run \`loopscope doctor\` on the gateway's machine.`;
  return [new LoopscopeError('provider_unreachable', message), 'connection_error'];
}
