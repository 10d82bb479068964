import type { IncomingMessage } from 'node:http';
import { LoopscopeError } from '../../errors.ts';
import { identify } from '../../gateway/identity.ts';
import { asObject, type Operation } from '../../gateway/protocol.ts';
import type { CallRoute } from '../../gateway/route.ts';
import type { LoopDefinition } from '../../registry/loop.ts';
import type { Recording } from '../recording.ts';
import type { FreshCall } from './ports.ts';
import { readParameters } from './wire/parameters.ts';
import type { Api } from './wire/wire.ts';

/** A request of the user's loop as the call that it is: read as the gateway reads it, and laid to one of the recorded agents. */
export interface LoopCall {
  api: Api;
  json: Record<string, unknown>;
  call: FreshCall;
}

/** Throws `bad_input`, and what `identify` throws. */
export async function readCall(
  { recording, definition }: { recording: Recording; definition: LoopDefinition | undefined },
  route: CallRoute,
  operation: Operation,
  { headers }: IncomingMessage,
  body: Buffer,
): Promise<LoopCall> {
  const json = parseBody(body);
  const api: Api =
    route.protocol.api === 'anthropic' ? 'messages' : (operation.apiType ?? 'chat_completions');
  const facts = operation.readRequest(json);
  const content = operation.readContent(json);
  const { loop } = recording;
  const path = route.loop === undefined ? { loop, ...route } : route;
  const caller = await identify(
    headers,
    { ...path, loop: path.loop ?? loop },
    {
      keys: { find: () => ({ keyId: '', loop, agent: '' }) },
      registry: () => ({
        loops: new Map(),
        loop: (name) => (name === loop ? definition : undefined),
      }),
    },
    false,
  );
  const calls = recording.steps.filter((step) => step.kind === 'call');
  const parentAgent = caller.parentAgent ?? '';
  // A loop whose key said who is calling says it no more: its calls are the maker's.
  const known =
    calls.find((c) => c.agent === caller.agent && c.parentAgent === parentAgent) ??
    calls.find((c) => c.agent === caller.agent);
  const isNamed = route.agent !== undefined || headers['x-loop-agent'] !== undefined;
  const like = known ?? (isNamed ? undefined : (calls.find((c) => c.role === 'maker') ?? calls[0]));
  return {
    api,
    json,
    call: {
      agent: like?.agent ?? caller.agent,
      role: like?.role ?? caller.role,
      parentAgent: known || !like ? parentAgent : like.parentAgent,
      provider: route.provider,
      api,
      stream: facts.stream === true,
      model: facts.model ?? '',
      parameters: readParameters(api, json),
      toolDefinitions: content.tools ?? null,
      input: content.messages(),
    },
  };
}

function parseBody(body: Buffer): Record<string, unknown> {
  try {
    const json = asObject(JSON.parse(body.toString('utf8')));
    if (json) return json;
  } catch {}
  throw new LoopscopeError('bad_input', 'The body of a call is expected to be a JSON object.');
}
