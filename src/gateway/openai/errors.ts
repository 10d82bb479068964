import { asObject, asString, type GatewayError } from '../protocol.ts';

/** Errors as OpenAI words them. */

export function readError(body: unknown): string | undefined {
  const error = asObject(asObject(body)?.['error']);
  return asString(error?.['code']) ?? asString(error?.['type']);
}

export const errorBody = ({ status, code, message }: GatewayError) => ({
  error: { message, type: errorType(status), param: null, code: publicCode(code) },
});

const errorType = (status: number) =>
  status === 401 ? 'authentication_error' : status < 500 ? 'invalid_request_error' : 'server_error';

/** OpenAI's own word where it has one: programs look for it. */
export const publicCode = (code: GatewayError['code']) => (code === 'key_invalid' ? 'invalid_api_key' : code);
