import { LoopscopeError } from '../errors.ts';
import { anthropic } from './anthropic.ts';
import { checked } from './names.ts';
import { openai } from './openai.ts';
import type { Protocol } from './protocol.ts';

/**
 * Where a request goes, by its path alone:
 *
 *     [/loops/{loop}[/agents/{agent}]] /openai[/v1]/…   OpenAI, below its base URL
 *                                      /anthropic/…     Anthropic, below its base URL
 *                                      /v1/messages…    Anthropic
 *                                      /v1/…            OpenAI
 *     /loops/{loop}/runs/{run}/verdict|effects|end      what a loop says of its run
 */
export type Route = CallRoute | StatementRoute;

export interface CallRoute {
  to: 'provider';
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

/**
 * Reads a request's target. `anthropicVersion` is that header, which tells the two providers apart where their
 * paths do not. Gives `undefined` for a path that leads nowhere; throws `bad_input` for one that is malformed.
 */
export function readRoute(url: string, anthropicVersion?: string): Route | undefined {
  const queryAt = url.indexOf('?');
  const query = queryAt === -1 ? '' : url.slice(queryAt);
  let path = queryAt === -1 ? url : url.slice(0, queryAt);
  refuseTraversal(path);

  let loop: string | undefined;
  let agent: string | undefined;
  const prefix = /^\/loops\/([^/]+)(?:\/agents\/([^/]+))?(?=\/|$)/.exec(path);
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
  const below = providerPath(path, anthropicVersion);
  return below && { to: 'provider', ...below, query, loop, agent };
}

function providerPath(path: string, anthropicVersion: string | undefined) {
  const named = /^\/(openai|anthropic)(?=\/|$)/.exec(path);
  if (named?.[1] === 'anthropic') return { protocol: anthropic, path: path.slice(named[0].length) };
  const rest = named ? path.slice(named[0].length) : path;
  const versioned = /^\/v1(?=\/|$)/.test(rest);
  if (!named) {
    if (!versioned) return undefined;
    if (/^\/v1\/messages(?=\/|$)/.test(rest) || anthropicVersion !== undefined)
      return { protocol: anthropic, path: rest };
  }
  // OpenAI's base URL ends in /v1 already.
  return { protocol: openai, path: versioned ? rest.slice('/v1'.length) : rest };
}

/** A path must not climb out of the provider's base URL, however the dots are spelt. */
function refuseTraversal(path: string): void {
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
