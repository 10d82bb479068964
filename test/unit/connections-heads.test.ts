import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionError, type Fault } from '../../src/gateway/connections/exchange.ts';
import { requestHead } from '../../src/gateway/connections/request-head.ts';
import { readHead } from '../../src/gateway/connections/response-head.ts';

function refuses(fault: Fault, code: string, what: string, work: () => unknown): void {
  assert.throws(
    work,
    (error) => error instanceof ConnectionError && error.fault === fault && error.code === code,
    `${fault} ${code}: ${JSON.stringify(what)}`,
  );
}

const unsendable = (code: string, method: string, path: string, headers: string[] = []) =>
  refuses('unsendable', code, `${method} ${path} ${headers.join(' ')}`, () =>
    requestHead(method, path, 'h', headers, undefined),
  );

test('a request says what it asks, whom, and then its headers as they were given', () => {
  assert.equal(
    requestHead(
      'GET',
      '/v1/models?limit=2',
      'api.example:8443',
      ['X-Odd', 'a  B', 'accept', '*/*'],
      undefined,
    ),
    'GET /v1/models?limit=2 HTTP/1.1\r\nhost: api.example:8443\r\nconnection: keep-alive\r\nX-Odd: a  B\r\naccept: */*\r\n\r\n',
  );
});

test('a request says how long its body is, and says 0 only where servers expect a body', () => {
  const length = (method: string, bytes: number | undefined) =>
    /^content-length: (.*)\r$/m.exec(requestHead(method, '/', 'h', [], bytes))?.[1];
  assert.equal(length('POST', 12), '12');
  assert.equal(length('GET', 12), '12');
  assert.equal(length('GET', 0), '0');
  for (const method of ['POST', 'PUT', 'PATCH']) assert.equal(length(method, undefined), '0', method);
  for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS'])
    assert.equal(length(method, undefined), undefined, method);
});

test('bytes of a path and of a value that are no ASCII go out as they came in', () => {
  const head = requestHead('M-SEARCH', '/\xe9?\xff', 'h', ['x-a', '\x80\xff\t ~', 'x-empty', ''], undefined);
  assert.match(head, /^M-SEARCH \/\xe9\?\xff HTTP\/1\.1\r\n/);
  assert.match(head, /\r\nx-a: \x80\xff\t ~\r\nx-empty: \r\n\r\n$/);
});

test('what is no method or no path is not sent, as it would end the line or the request', () => {
  for (const method of ['', 'GET ', ' GET', 'GE T', 'GET\r\n', 'GET\n', 'G\xc4T', 'GET/', 'GET:', 'G\0T'])
    unsendable('METHOD_INVALID', method, '/');
  for (const path of ['', 'v1', '*', '?a=b', 'http://evil.example/', ' /', '/a b', '/a\tb', '/a '])
    unsendable('PATH_INVALID', 'GET', path);
  for (const path of [
    '/a\r\nx-evil: b',
    '/a\r',
    '/a\n',
    '/\n',
    '/\0',
    '/\x7f',
    '/\u0100',
    '/\ud83c\udf0d',
    '/\u2028',
  ])
    unsendable('PATH_INVALID', 'GET', path);
});

test('a header that says for whom the message is or where it ends is refused, however it is spelled', () => {
  for (const name of ['host', 'connection', 'content-length', 'transfer-encoding', 'upgrade']) {
    const capital = name.replaceAll(/\b[a-z]/g, (letter) => letter.toUpperCase());
    for (const spelling of [
      name,
      name.toUpperCase(),
      capital,
      name.slice(0, -1) + name.at(-1)!.toUpperCase(),
    ])
      unsendable('HEADER_NAME_INVALID', 'POST', '/', ['x-a', 'b', spelling, '5']);
    // Only whole names: these belong to somebody else.
    for (const other of [`x-${name}`, `${name}-x`]) requestHead('POST', '/', 'h', [other, '5'], 5);
  }
});

test('a name that is none is refused', () => {
  for (const name of [
    '',
    ' ',
    'x a',
    ' x',
    'x ',
    'x\t',
    'x:',
    ':x',
    'x\r\ny',
    'x\n',
    'x\0',
    'x(',
    '"x"',
    '\xfcber',
  ])
    unsendable('HEADER_NAME_INVALID', 'GET', '/', [name, 'b']);
  for (const name of ['host ', ' host', 'host\n', 'content-length\t', 'transfer-encoding:'])
    unsendable('HEADER_NAME_INVALID', 'GET', '/', [name, 'b']);
});

test('a value that would begin another header, or is no bytes, is refused', () => {
  for (const value of [
    'a\r\nx-evil: b',
    'a\r',
    'a\n',
    '\n',
    '\r\n',
    'a\0b',
    '\x01',
    '\x7f',
    '\v',
    '\u0100',
    '€',
    '🌍',
  ])
    unsendable('HEADER_VALUE_INVALID', 'GET', '/', ['x-a', value]);
  unsendable('HEADER_VALUE_INVALID', 'GET', '/', ['x-a', 'b', 'x-c', 'd\n']);
});

const read = (lines: string[], method = 'GET', statusLine = 'HTTP/1.1 200 OK') =>
  readHead([statusLine, ...lines].join('\r\n'), method);
const malformed = (code: string, text: string, method = 'GET') =>
  refuses('malformed', code, text, () => readHead(text, method));
/** With a sound status line. */
const malformedLines = (code: string, ...lines: string[]) =>
  malformed(code, ['HTTP/1.1 200 OK', ...lines].join('\r\n'));

test('a status line is read with its reason, which may be empty, absent, or no ASCII', () => {
  const cases: [string, number, string][] = [
    ['HTTP/1.1 200 OK', 200, 'OK'],
    ['HTTP/1.1 529 Site is  overloaded', 529, 'Site is  overloaded'],
    ['HTTP/1.1 404 ', 404, ''],
    ['HTTP/1.1 503', 503, ''],
    ['HTTP/1.0 200 OK', 200, 'OK'],
    ['HTTP/1.1 400 Ung\xfcltig \x80\x85\xff', 400, 'Ung\xfcltig \x80\x85\xff'],
    ['HTTP/1.1 200 \ta', 200, '\ta'],
    ['HTTP/1.1 200 HTTP/1.1 500 No', 200, 'HTTP/1.1 500 No'],
    ['HTTP/1.1 999 Odd', 999, 'Odd'],
  ];
  for (const [line, status, reason] of cases) {
    const head = read(['content-length: 0'], 'GET', line);
    assert.deepEqual([head.status, head.statusText], [status, reason], line);
  }
});

test('what is no status line is refused', () => {
  for (const line of [
    '',
    'HTTP/1.1',
    'HTTP/1.1 ',
    'HTTP/1.1 20',
    'HTTP/1.1 2000 OK',
    'HTTP/1.1 200OK',
    'HTTP/1.1 099 Low',
    'HTTP/1.1 000',
    'HTTP/1.1  200 OK',
    'HTTP/1.1\t200 OK',
    'HTTP/1.1 200\tOK',
    ' HTTP/1.1 200 OK',
    'HTTP/1.2 200 OK',
    'HTTP/2 200 OK',
    'HTTP/2.0 200 OK',
    'HTTP/11 200 OK',
    'http/1.1 200 OK',
    'ICY 200 OK',
    'HTTP/1.1 -20 OK',
    'HTTP/1.1 0x1 OK',
    'SSH-2.0-OpenSSH_9.2',
    '\r\nHTTP/1.1 200 OK',
  ])
    malformed('STATUS_LINE_INVALID', line);
});

test('headers keep their order, their spelling and what is in them; the blanks around a value are gone', () => {
  const { headers } = read([
    'X-One: a  B',
    'x-one:b',
    'Set-Cookie: \t c=1; d ',
    'x-empty:',
    'x-blank: \t ',
    'x-colons: a:b: c',
    "!#$%&'*+-.^_`|~09aZ: all of a name",
    'x-bytes: \x80\xa0\xff',
  ]);
  assert.deepEqual(headers, [
    ...['X-One', 'a  B', 'x-one', 'b', 'Set-Cookie', 'c=1; d', 'x-empty', '', 'x-blank', ''],
    ...['x-colons', 'a:b: c', "!#$%&'*+-.^_`|~09aZ", 'all of a name', 'x-bytes', '\x80\xa0\xff'],
  ]);
});

test('an answer ends where its length or its chunks say, else with the connection, which is then not kept', () => {
  const framing = (...lines: string[]) => {
    const { body, isKept } = read(lines);
    return [body, isKept];
  };
  assert.deepEqual(framing('Content-Length: 12'), [12, true]);
  assert.deepEqual(framing('CONTENT-LENGTH:\t0012 '), [12, true]);
  assert.deepEqual(framing('content-length: 0'), [0, true]);
  assert.deepEqual(framing('content-length: 9007199254740991'), [Number.MAX_SAFE_INTEGER, true]);
  assert.deepEqual(framing('Transfer-Encoding: chunked'), ['chunked', true]);
  assert.deepEqual(framing('transfer-encoding: Chunked'), ['chunked', true]);
  assert.deepEqual(framing('x-content-length: 3', 'content-lengt: 3', 'content_length: 3'), [
    'until_close',
    false,
  ]);
  assert.deepEqual(framing(), ['until_close', false]);
});

test('a length that is told twice must be the same', () => {
  assert.equal(read(['content-length: 5', 'x-a: b', 'Content-Length: 5']).body, 5);
  assert.equal(read(['content-length: 0', 'content-length: 0']).body, 0);
  malformedLines('CONTENT_LENGTH_INVALID', 'content-length: 5', 'content-length: 6');
  malformedLines('CONTENT_LENGTH_INVALID', 'content-length: 0', 'content-length: 6');
  malformedLines('CONTENT_LENGTH_INVALID', 'content-length: 5, 6');
});

test('a length that is no number of bytes is refused', () => {
  for (const length of [
    '',
    ' ',
    '-1',
    '-0',
    '+5',
    '0x10',
    '5 5',
    '5;',
    '5,',
    '5.0',
    '1e3',
    '\xb2',
    'five',
    '"5"',
  ])
    malformedLines('CONTENT_LENGTH_INVALID', `content-length: ${length}`);
  for (const length of ['9007199254740992', '18446744073709551621', '9'.repeat(400)])
    malformedLines('CONTENT_LENGTH_INVALID', `content-length: ${length}`);
});

test('a length beside chunks is refused, whichever comes first', () => {
  malformedLines('TRANSFER_ENCODING_INVALID', 'content-length: 5', 'transfer-encoding: chunked');
  malformedLines('CONTENT_LENGTH_INVALID', 'transfer-encoding: chunked', 'content-length: 5');
});

test('a coding of the connection other than chunks alone is refused', () => {
  for (const coding of [
    'gzip, chunked',
    'chunked, gzip',
    'chunked, chunked',
    'gzip',
    'identity',
    '',
    'xchunked',
    'chunked;q=1',
    'chunked\x0b',
  ])
    assert.throws(
      () => read([`Transfer-Encoding: ${coding}`]),
      { name: 'ConnectionError', fault: 'malformed' },
      coding,
    );
  malformedLines('TRANSFER_ENCODING_INVALID', 'transfer-encoding: gzip', 'transfer-encoding: chunked');
  malformedLines('TRANSFER_ENCODING_INVALID', 'transfer-encoding: chunked', 'transfer-encoding: chunked');
});

test('a connection is kept unless the server says that it closes it, or speaks HTTP/1.0', () => {
  const isKept = (...lines: string[]) => read(['content-length: 0', ...lines]).isKept;
  assert.equal(isKept(), true);
  for (const value of ['keep-alive', 'x-close', 'close-x', 'closed', 'x;close', ''])
    assert.equal(isKept(`connection: ${value}`), true, value);
  for (const value of ['close', 'Close', 'keep-alive, close', 'close,x', 'x,\tCLOSE ,y', ',close'])
    assert.equal(isKept(`Connection: ${value}`), false, value);
  assert.equal(isKept('connection: keep-alive', 'connection: close'), false);
  assert.equal(isKept('connection: close', 'connection: keep-alive'), false);
  const old = ['content-length: 0', 'connection: keep-alive'];
  assert.equal(read(old, 'GET', 'HTTP/1.0 200 OK').isKept, false);
});

test('how long the server keeps a connection is read where it says so', () => {
  const keptS = (value: string) => read(['content-length: 0', `Keep-Alive: ${value}`]).keptS;
  assert.equal(keptS('timeout=5'), 5);
  assert.equal(keptS('timeout=0'), 0);
  assert.equal(keptS('max=100, Timeout=72'), 72);
  assert.equal(keptS('max=100,timeout=72, x'), 72);
  for (const none of ['', 'max=100', 'timeout', 'timeout=', 'timeout=-1', 'xtimeout=5', '5'])
    assert.equal(keptS(none), undefined, none);
  assert.equal(read(['content-length: 0']).keptS, undefined);
});

test('an answer that has no body by its kind has none, whatever its headers say', () => {
  for (const lines of [['content-length: 5'], ['transfer-encoding: chunked'], []]) {
    for (const status of [100, 103, 204, 304]) {
      const head = read(lines, 'GET', `HTTP/1.1 ${status} x`);
      assert.deepEqual([head.body, head.isKept], [0, true], `${status} ${lines}`);
    }
    const head = read(lines, 'HEAD');
    assert.deepEqual([head.body, head.isKept], [0, true], `HEAD ${lines}`);
  }
  malformed('CONTENT_LENGTH_INVALID', 'HTTP/1.1 204 No\r\ncontent-length: x');
});

test('nobody asked to speak something else', () => {
  malformed(
    'UPGRADE_UNASKED',
    'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade',
  );
});

test('a header that two readers could understand in two ways is refused', () => {
  for (const line of [
    ' folded: a',
    '\tfolded: a',
    'x-a : b',
    'x-a\t: b',
    'content-length : 5',
    ': b',
    'no colon',
    'x a: b',
    '\xfcber: b',
    'x(a): b',
    '"x": b',
  ]) {
    malformedLines('HEADER_NAME_INVALID', line);
    malformedLines('HEADER_NAME_INVALID', 'x-a: b', line, 'x-c: d');
  }
  malformedLines('HEADER_NAME_INVALID', 'x-a: b', ' folded', 'content-length: 5');
  // A line without a colon does not borrow that of the next.
  malformedLines('HEADER_NAME_INVALID', 'x-a', 'x-b: c');
  malformedLines('HEADER_NAME_INVALID', '', 'x-b: c');
});

test('half a line break and bytes that no head has are refused wherever they stand', () => {
  for (const byte of ['\r', '\n', '\0', '\x01', '\b', '\v', '\f', '\x1f', '\x7f', '\n\r', '\r\r\n', '\n\n']) {
    malformedLines('HEAD_BYTES_INVALID', `x-a: b${byte}c: d`);
    malformedLines('HEAD_BYTES_INVALID', `x-a: ${byte}`, 'content-length: 5');
    malformedLines('HEAD_BYTES_INVALID', `x${byte}a: b`);
    malformed('HEAD_BYTES_INVALID', `HTTP/1.1 200 O${byte}K\r\ncontent-length: 5`);
  }
  malformedLines('HEAD_BYTES_INVALID', 'x-a: b\ncontent-length: 5');
  malformedLines('HEAD_BYTES_INVALID', 'x-a: b\rcontent-length: 5');
});
