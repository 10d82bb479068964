import { malformed } from './exchange.ts';
import { TOKEN } from './token.ts';

export interface ResponseHead {
  status: number;
  statusText: string;
  /** Name, value, name, value, … as they came. */
  headers: string[];
  /** How its end is known; a number of bytes where its length was told. */
  body: number | 'chunked' | 'until_close';
  /** Whether the connection can carry another request. */
  isKept: boolean;
  /** For how many seconds, where the server said so. */
  keptS: number | undefined;
}

/**
 * Reads the head of an answer, without its empty line; each byte is a character of Latin-1. Throws `malformed` for
 * whatever two readers could understand in two ways (RFC 9112 §4, §6.3): two lengths, a length beside chunks, line breaks
 * that are none, a coding of the connection that we did not ask for.
 */
export function readHead(text: string, method: string): ResponseHead {
  if (FORBIDDEN.test(text)) throw malformed('HEAD_BYTES_INVALID');
  const firstEnd = endOfLine(text, 0);
  const status = STATUS_LINE.exec(text.slice(0, firstEnd));
  if (!status) throw malformed('STATUS_LINE_INVALID');
  const head: ResponseHead = {
    status: Number(status[2]),
    statusText: status[3] ?? '',
    headers: [],
    body: 'until_close',
    isKept: status[1] === '1',
    keptS: undefined,
  };
  for (let at = firstEnd + 2; at < text.length; ) {
    const end = endOfLine(text, at);
    const colon = text.indexOf(':', at);
    const name = text.slice(at, colon === -1 || colon > end ? at : colon);
    if (!TOKEN.test(name)) throw malformed('HEADER_NAME_INVALID');
    const value = trimmed(text, colon + 1, end);
    head.headers.push(name, value);
    if (FRAMING_NAME_CHARS.has(name.length)) heed(head, name.toLowerCase(), value);
    at = end + 2;
  }
  if (head.status < 200 || head.status === 204 || head.status === 304 || method === 'HEAD') head.body = 0;
  if (head.status === 101) throw malformed('UPGRADE_UNASKED');
  if (head.body === 'until_close') head.isKept = false;
  return head;
}

/** What a header says of the connection and of where the answer ends. */
function heed(head: ResponseHead, name: string, value: string): void {
  if (name === 'content-length') {
    const bytes = LENGTH.test(value) ? Number(value) : Number.NaN;
    const isOther = head.body !== 'until_close' && head.body !== bytes;
    if (!Number.isSafeInteger(bytes) || isOther) throw malformed('CONTENT_LENGTH_INVALID');
    head.body = bytes;
  } else if (name === 'transfer-encoding') {
    if (head.body !== 'until_close' || value.toLowerCase() !== 'chunked')
      throw malformed('TRANSFER_ENCODING_INVALID');
    head.body = 'chunked';
  } else if (name === 'connection') {
    if (CLOSE.test(value)) head.isKept = false;
  } else if (name === 'keep-alive') {
    const timeout = KEPT_FOR.exec(value);
    if (timeout) head.keptS = Number(timeout[1]);
  }
}

const endOfLine = (text: string, from: number): number => {
  const end = text.indexOf('\r\n', from);
  return end === -1 ? text.length : end;
};

/** Without the blanks around it. */
function trimmed(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

const isBlank = (char: number) => char === 0x20 || char === 0x09;

/** What no head has, and a half of a line break. */
const FORBIDDEN = /[^\t\r\n\x20-\x7e\x80-\xff]|\r(?!\n)|(?<!\r)\n/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: (.*))?$/;
const LENGTH = /^\d+$/;
const CLOSE = /(?:^|,)[\t ]*close[\t ]*(?:,|$)/i;
const KEPT_FOR = /(?:^|[\t ,])timeout=(\d{1,6})/i;
const FRAMING_NAME_CHARS = new Set(
  ['content-length', 'transfer-encoding', 'connection', 'keep-alive'].map(({ length }) => length),
);
