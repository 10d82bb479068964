import { asObject, asString, type GatewayError } from '../protocol.ts';

/** Errors as Anthropic words them. */

export const readError = (body: unknown): string | undefined =>
  asString(asObject(asObject(body)?.['error'])?.['type']);

export const errorBody = ({ status, message }: GatewayError) => ({
  type: 'error',
  error: { type: ERROR_TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error'), message },
});

const ERROR_TYPES: Record<number, string> = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
};
