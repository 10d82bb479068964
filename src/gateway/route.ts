import { LoopscopeError } from '../errors.ts';
import { anthropic } from './anthropic.ts';
import { checked } from './names.ts';
import { openai } from './openai.ts';
import type { Api, Protocol } from './protocol.ts';

/**
 * Where a request goes, by its path alone:
 *
 *     [/loops/{loop}[/agents/{agent}]] /openai[/v1]/…   OpenAI, below its base URL
 *                                      /anthropic/…     Anthropic, below its base URL
 *                                      /v1/messages…    Anthropic
 *                                      /v1/…            OpenAI
 *                                      /{provider}/…    any other that is configured, below its base URL
 *     /loops/{loop}/runs/{run}/verdict|effects|end      what a loop says of its run
 */
export type Route = CallRoute | StatementRoute;

export interface CallRoute {
  to: 'provider';
  /** Its name in the settings. */
  provider: string;
  protocol: Protocol;
  /** Path below the provider's base URL: `''` or with a leading slash. */
  path: string;
  /** With its leading `?`, or `''`. */
  query: string;
  loop?: string;
  agent?: string;
}

export type StatementKind = 'verdict' | 'effects' | 'end';

export interface StatementRoute {
  to: 'statement';
  kind: StatementKind;
  loop: string;
  run: string;
}

/** Providers by the name that stands in a path, and the API that each speaks. */
export type ProviderApis = ReadonlyMap<string, Api>;

const NO_OTHERS: ProviderApis = new Map();

/**
 * Reads a request's target. `anthropicVersion` is that header, which tells the two providers apart where their
 * paths do not; `others` are the providers besides these two. Gives `undefined` for a path that leads nowhere;
 * throws `bad_input` for one that is malformed.
 */
export function readRoute(
  url: string,
  anthropicVersion?: string,
  others: ProviderApis = NO_OTHERS,
): Route | undefined {
  const queryAt = url.indexOf('?');
  const query = queryAt === -1 ? '' : url.slice(queryAt);
  let path = queryAt === -1 ? url : url.slice(0, queryAt);
  refuseTraversal(path);

  let loop: string | undefined;
  let agent: string | undefined;
  const prefix = path.startsWith('/loops/')
    ? /^\/loops\/([^/]+)(?:\/agents\/([^/]+))?(?=\/|$)/.exec(path)
    : undefined;
  if (prefix) {
    loop = checked('loop in the path', 'name', decode(prefix[1]!));
    agent = checked('agent in the path', 'id', prefix[2] === undefined ? undefined : decode(prefix[2]));
    path = path.slice(prefix[0].length);
    const statement = /^\/runs\/([^/]+)\/(verdict|effects|end)$/.exec(path);
    if (statement) {
      const run = checked('run in the path', 'id', decode(statement[1]!));
      return { to: 'statement', kind: statement[2] as StatementKind, loop, run };
    }
  }
  const target = readProvider(path, anthropicVersion, others);
  return target && { to: 'provider', ...target, query, loop, agent };
}

type Target = Pick<CallRoute, 'provider' | 'protocol' | 'path'>;

function readProvider(
  path: string,
  anthropicVersion: string | undefined,
  others: ProviderApis,
): Target | undefined {
  const end = path.indexOf('/', 1);
  const name = end === -1 ? path.slice(1) : path.slice(1, end);
  const rest = end === -1 ? '' : path.slice(end);
  if (name === 'v1')
    return /^\/messages(?=\/|$)/.test(rest) || anthropicVersion !== undefined
      ? { provider: 'anthropic', protocol: anthropic, path }
      : { provider: 'openai', protocol: openai, path: rest };
  const api = name === 'openai' || name === 'anthropic' ? name : others.get(name);
  if (api === undefined) return undefined;
  if (api === 'anthropic') return { provider: name, protocol: anthropic, path: rest };
  // The base URLs of OpenAI and its like have the version in them already.
  return { provider: name, protocol: openai, path: rest.replace(/^\/v1(?=\/|$)/, '') };
}

/** A path must not climb out of the provider's base URL, however the dots are spelt. */
function refuseTraversal(path: string): void {
  // Without one of these there can be none, as in nearly every path.
  if (!path.includes('.') && !path.includes('%')) return;
  if (!path.split(/[/\\]|%2f|%5c/i).some((segment) => /^(\.|%2e){1,2}$/i.test(segment))) return;
  throw new LoopscopeError('bad_input', 'The path has a "." or ".." segment; write it without.');
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new LoopscopeError('bad_input', `The path segment ${JSON.stringify(segment)} is not valid UTF-8.`);
  }
}
