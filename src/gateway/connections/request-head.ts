import { ConnectionError } from './exchange.ts';
import { TOKEN } from './token.ts';

/**
 * The head of a request, with its last, empty line. Throws `unsendable` for what would not be one request (RFC 9112 §3,
 * §5): a line break in a value would begin another header, and a length beside ours another request.
 *
 * `bodyBytes`: `undefined` without a body.
 */
export function requestHead(
  method: string,
  path: string,
  host: string,
  headers: readonly string[],
  bodyBytes: number | undefined,
): string {
  if (!TOKEN.test(method)) throw new ConnectionError('unsendable', 'METHOD_INVALID');
  if (!PATH.test(path)) throw new ConnectionError('unsendable', 'PATH_INVALID');
  let head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i]!;
    const value = headers[i + 1]!;
    if (!TOKEN.test(name) || OURS.test(name)) throw new ConnectionError('unsendable', 'HEADER_NAME_INVALID');
    if (!VALUE.test(value)) throw new ConnectionError('unsendable', 'HEADER_VALUE_INVALID');
    head += `${name}: ${value}\r\n`;
  }
  const bytes = bodyBytes ?? (HAS_BODY.has(method) ? 0 : undefined);
  return bytes === undefined ? `${head}\r\n` : `${head}content-length: ${bytes}\r\n\r\n`;
}

const PATH = /^\/[\x21-\x7e\x80-\xff]*$/;
/** They say where a message ends and for whom it is. */
const OURS = /^(?:host|connection|content-length|transfer-encoding|upgrade)$/i;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Without one they have an empty one, and servers want to be told so (RFC 9110 §8.6). */
const HAS_BODY = new Set(['POST', 'PUT', 'PATCH']);
