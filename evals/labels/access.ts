import type { IncomingHttpHeaders } from 'node:http';
import { tokenCheck } from '../../src/bearer-token.ts';
import type { Config } from '../../src/config.ts';
import { LoopscopeError } from '../../src/errors.ts';

/**
 * Who may label by HTTP: whoever shows the token or, where none is set, whoever is on this machine. A browser on this
 * machine would carry any page's request here, so without a token no request of a page is served: one that a page makes
 * has an Origin, and one of a page that rebound its name to this address has another Host. What came through a proxy
 * has a peer on this machine too, and is known by the headers that proxies add.
 */
export interface Caller {
  address: string | undefined;
  headers: IncomingHttpHeaders;
}

const LOOPBACK_ADDRESS = /^(127(\.\d{1,3}){3}|::1|::ffff:127(\.\d{1,3}){3})$/;
const LOOPBACK_HOST = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/i;
const PROXY_HEADERS = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'] as const;

/** A check that throws `token_invalid` or `loopback_only`. Throws `config_invalid` where the token is set and not there. */
export function labelAccess({
  token,
  token_env,
}: Pick<Config['evals'], 'token' | 'token_env'>): (caller: Caller) => void {
  if (token_env !== undefined && token === undefined)
    throw new LoopscopeError(
      'config_invalid',
      `evals.token_env: the environment has no ${token_env}. Set it to the token, or take the setting out to have runs labelled from this machine only.`,
    );
  if (token === undefined) return fromThisMachine;
  const isToken = tokenCheck(token);
  return ({ headers }) => {
    if (!isToken(headers.authorization))
      throw new LoopscopeError(
        'token_invalid',
        'expected the header `authorization: Bearer TOKEN` with the token of evals.token_env.',
      );
  };
}

function fromThisMachine({ address, headers }: Caller): void {
  const isHere =
    LOOPBACK_ADDRESS.test(address ?? '') &&
    LOOPBACK_HOST.test(headers.host ?? '') &&
    headers.origin === undefined &&
    PROXY_HEADERS.every((header) => headers[header] === undefined);
  if (!isHere)
    throw new LoopscopeError(
      'loopback_only',
      'without a token, runs are labelled by programs of this machine only: no web pages, no proxies, other names or other machines. Set evals.token_env to let others.',
    );
}
