import type { IncomingMessage, ServerResponse } from 'node:http';
import { LoopscopeError } from '../errors.ts';
import type { CallContext } from './context.ts';
import { type Caller, roleOf } from './identity.ts';
import type { Operation, RequestFacts } from './protocol.ts';
import type { CallRoute } from './route.ts';
import { isSubAgent, type OpenRun } from './runs.ts';

export interface Incoming {
  message: IncomingMessage;
  body: Buffer | undefined;
  response: ServerResponse;
}

/** What is asked, by whom, and whose run it belongs to. */
export interface Asked {
  method: string;
  route: CallRoute;
  caller: Caller;
  /** How to read it; `undefined` for what is no model call. */
  operation: Operation | undefined;
  /** The body of a model call, until all of it was read. */
  json: unknown;
  request: RequestFacts | undefined;
  /** `undefined` for a probe and for a replay's call, and for what is no model call and came while no run was open. */
  run: OpenRun | undefined;
  traceId: string;
  /** Of the span that it will have. */
  spanId: string;
  isNested: boolean;
  startNs: bigint;
}

/** Reads a request, and begins its call in the run. Throws `agent_nested` where that is refused. */
export function readAsked(
  { runs, clock, settings }: CallContext,
  route: CallRoute,
  { message, body }: Incoming,
  caller: Caller,
  startNs: bigint,
): Asked {
  const method = message.method ?? 'GET';
  const operation = route.protocol.operation(method, route.path);
  const json = operation && parseBody(body);
  const { loop, remote, definition, parentAgent } = caller;
  const isOfRun = caller.probe === undefined && caller.replay === undefined;
  const runId = isOfRun ? runIdOf(runs, caller, operation) : undefined;
  const registered = definition !== undefined;
  const run =
    runId === undefined
      ? undefined
      : runs.touch({ loop, runId, registered, traceId: remote?.traceId }, startNs);
  const isNested =
    parentAgent !== undefined &&
    (roleOf(definition, parentAgent, undefined) === 'sub' ||
      (run !== undefined && isSubAgent(run, parentAgent)));
  if (isNested && settings.nestedAgents === 'refuse') throw nested(caller);
  if (run) runs.callStarted(run);
  return {
    method,
    route,
    caller,
    operation,
    json,
    request: operation?.readRequest(json),
    run,
    traceId: remote?.traceId ?? run?.traceId ?? clock.randomHex(16),
    spanId: clock.randomHex(8),
    isNested,
    startNs,
  };
}

/** A request that is no model call joins a run and opens none: a look at the list of models is no work. */
const runIdOf = (runs: CallContext['runs'], { runId, loop }: Caller, operation: Operation | undefined) =>
  runId ?? (operation ? runs.implicitRun(loop) : runs.openImplicitRun(loop));

/** The provider judges a body that is no JSON; we just cannot read it. */
function parseBody(body: Buffer | undefined): unknown {
  try {
    return body && JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

const nested = ({ agent, parentAgent, loop }: Caller) =>
  new LoopscopeError(
    'agent_nested',
    `Agent "${agent}" of loop "${loop}" names the sub-agent "${parentAgent}" as its parent, but delegation is one level deep. ` +
      'Let its parent call it instead, or set `gateway.nested_agents: flag`.',
  );
