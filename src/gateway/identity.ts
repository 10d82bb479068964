import type { IncomingHttpHeaders } from 'node:http';
import { createTraceState } from '@opentelemetry/api';
import { parseTraceParent } from '@opentelemetry/core';
import { LoopscopeError } from '../errors.ts';
import { KEY_PREFIX, type KeyFound, type KeyIdentity, type KeyRing } from '../registry/key.ts';
import type { AgentRole, LoopDefinition } from '../registry/loop.ts';
import { KEY_HEADERS } from './headers.ts';
import { checked } from './names.ts';

/** Who is calling: which loop, which run of it, which agent. */

/** What the gateway needs of the inventory. */
export interface Registry {
  readonly loops: ReadonlyMap<string, { definition: LoopDefinition }>;
  loop(name: string): LoopDefinition | undefined;
}

export interface Caller {
  loop: string;
  /** `undefined` for a loop that nobody registered. */
  definition: LoopDefinition | undefined;
  /** `undefined` when the caller named none. */
  runId: string | undefined;
  agent: string;
  parentAgent: string | undefined;
  role: AgentRole;
  /** The caller's own span, where a `traceparent` came. */
  remote: RemoteSpan | undefined;
  conversationId: string | undefined;
  itemId: string | undefined;
  /** The suite whose probe this is; `undefined` for what belongs to a run. */
  probe: string | undefined;
  /** The replay that this is a call of; `runId` is then the run that is replayed, and it belongs to no run itself. */
  replay: string | undefined;
  promptVersion: string | undefined;
  toolsVersion: string | undefined;
  virtualKey: boolean;
}

export interface RemoteSpan {
  traceId: string;
  spanId: string;
  traceState: string | undefined;
}

export interface IdentityOptions {
  keys: KeyRing;
  registry: () => Registry;
}

const DEFAULT_AGENT = 'main';
/** The loop of calls that say nothing at all of where they come from. */
const UNKNOWN_LOOP = 'unknown';

/**
 * Finds out who is calling, from the virtual key, the path, our headers and those that coding agents send.
 * Throws `key_invalid`, `key_not_for_loop`, `loop_unregistered` or `bad_input`.
 */
export function identify(
  headers: IncomingHttpHeaders,
  /** What the path says. */
  path: { loop?: string; agent?: string },
  options: IdentityOptions,
  /** Whether loops that nobody registered are refused. */
  strict: boolean,
  /** Further headers in which its provider takes keys. */
  keyHeaders?: readonly string[],
): Caller | Promise<Caller> {
  const header = (name: string) => single(headers[name]);
  const named = checked('x-loop', 'name', header('x-loop'));
  if (named !== undefined && path.loop !== undefined && named !== path.loop)
    throw new LoopscopeError(
      'bad_input',
      `x-loop says "${named}" but the path says "${path.loop}"; send one of them, or the same.`,
    );
  const secret = virtualKey(headers, keyHeaders);
  const loopNamed = path.loop ?? named;
  const found = secret === undefined ? undefined : options.keys.find(secret);
  const whose = (key: KeyFound | undefined) =>
    callerOf(headers, path, options, strict, loopNamed, key && checkedKey(key, loopNamed));
  return found instanceof Promise ? found.then(whose) : whose(found);
}

function callerOf(
  headers: IncomingHttpHeaders,
  path: { agent?: string },
  options: IdentityOptions,
  strict: boolean,
  loopNamed: string | undefined,
  key: KeyIdentity | undefined,
): Caller {
  const header = (name: string) => single(headers[name]);
  const loop = key?.loop ?? loopNamed ?? UNKNOWN_LOOP;
  const definition = options.registry().loop(loop);
  if (!definition && strict) throw unregistered(loop);

  const session = checked('x-claude-code-session-id', 'id', header('x-claude-code-session-id'));
  const subAgent = checked('x-claude-code-agent-id', 'id', header('x-claude-code-agent-id'));
  const configured = path.agent ?? (key?.agent || undefined);
  const agent = checked('x-loop-agent', 'id', header('x-loop-agent')) ?? subAgent ?? configured;
  const parent =
    checked('x-loop-parent-agent', 'id', header('x-loop-parent-agent')) ??
    (subAgent && agent === subAgent ? (configured ?? DEFAULT_AGENT) : undefined);
  const parentAgent = parent === agent ? undefined : parent;
  if (key?.agent && agent !== key.agent && parentAgent !== key.agent)
    throw new LoopscopeError(
      'key_not_for_loop',
      `This key speaks for agent "${key.agent}" of loop "${loop}" and for sub-agents of it, not for "${agent}". ` +
        `Make one with \`loopscope keys create --loop ${loop} --agent ${agent}\`.`,
    );

  const remote = readTraceParent(headers);
  const name = agent ?? DEFAULT_AGENT;
  return {
    loop,
    definition,
    runId: checked('x-loop-run', 'id', header('x-loop-run')) ?? session ?? remote?.traceId,
    agent: name,
    parentAgent,
    role: roleOf(definition, name, parentAgent),
    remote,
    conversationId: session,
    itemId: checked('x-loop-item', 'label', header('x-loop-item')),
    probe: checked('x-loop-probe', 'label', header('x-loop-probe')),
    replay: checked('x-loop-replay', 'id', header('x-loop-replay')),
    promptVersion: checked('x-loop-prompt-version', 'label', header('x-loop-prompt-version')),
    toolsVersion: checked('x-loop-tools-version', 'label', header('x-loop-tools-version')),
    virtualKey: key !== undefined,
  };
}

/** As the registry says; without its word a sub-agent where there is a parent, else a maker. */
export const roleOf = (
  definition: LoopDefinition | undefined,
  agent: string,
  parentAgent: string | undefined,
): AgentRole =>
  definition?.agents.find((a) => a.name === agent)?.role ?? (parentAgent === undefined ? 'maker' : 'sub');

/** A virtual key, checked against the loop that the request itself names. */
function checkedKey(key: KeyFound, loop: string | undefined): KeyIdentity {
  const create = `\`loopscope keys create --loop ${loop ?? 'LOOP'}\``;
  if (key === 'unknown')
    throw new LoopscopeError('key_invalid', `Unknown Loopscope key. Make one with ${create}.`);
  if (key === 'revoked')
    throw new LoopscopeError('key_invalid', `This Loopscope key was revoked. Make a new one with ${create}.`);
  if (loop !== undefined && key.loop !== loop)
    throw new LoopscopeError(
      'key_not_for_loop',
      `This key speaks for loop "${key.loop}", but the request names loop "${loop}". Make one for it with ${create}.`,
    );
  return key;
}

/** It travels where the SDKs put a provider's key. */
function virtualKey(headers: IncomingHttpHeaders, more: readonly string[] = []): string | undefined {
  const bearer = /^bearer\s+(\S+)\s*$/i.exec(headers.authorization ?? '')?.[1];
  if (bearer?.startsWith(KEY_PREFIX)) return bearer;
  for (const name of [...KEY_HEADERS, ...more]) {
    const value = single(headers[name])?.trim();
    if (value?.startsWith(KEY_PREFIX)) return value;
  }
  return undefined;
}

function readTraceParent(headers: IncomingHttpHeaders): RemoteSpan | undefined {
  const value = single(headers['traceparent']);
  const context = value === undefined ? null : parseTraceParent(value);
  if (!context) return undefined;
  const state = single(headers['tracestate']);
  const { traceId, spanId } = context;
  return { traceId, spanId, traceState: state && createTraceState(state).serialize() };
}

export const unregistered = (loop: string) =>
  new LoopscopeError(
    'loop_unregistered',
    `Loop "${loop}" is not in the registry, and \`registry: strict\` lets only registered loops in. ` +
      `Describe it in loops/${loop}.yaml, then run \`loopscope registry check\`.`,
  );

function single(value: string | string[] | undefined): string | undefined {
  const first = Array.isArray(value) ? value[0] : value;
  return first === '' ? undefined : first;
}
