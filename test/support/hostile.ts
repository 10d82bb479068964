/**
 * Requests that no honest client sends, in families, down to the bytes. Every request has a canary in each field where a
 * key may stand.
 */

/** What must never be seen again, on its way to the provider aside. */
export const CANARY = 'sk-canary-4f1d0c9b7a';
/** A virtual key that nobody gave out. */
export const FALSE_KEY = 'lsk_canary_4f1d0c9b7a';

export interface HostileRequest {
  family: string;
  name: string;
  /** What is sent, piece by piece: a body may be larger than anybody wants to hold. */
  pieces: () => Iterable<Buffer>;
  /** Statuses that it may be answered with; 0 where the connection may also be closed without an answer. */
  expect: readonly number[];
}

const CHAT = '/loops/hostile/v1/chat/completions';
const MESSAGES = '/loops/hostile/v1/messages';
const SOUND = { model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }], api_key: CANARY };

/** Bytes of a text, one for each character. */
const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

interface Draft {
  method?: string;
  path?: string;
  /** Instead of `path`. */
  target?: string;
  version?: string;
  host?: string;
  /** Lines as they are sent, without their ends. */
  lines?: string[];
  /** Whether the canaries' headers stand there too. */
  keys?: boolean;
  body?: string | Buffer;
  length?: string | false;
}

const KEY_LINES = [
  `authorization: Bearer ${CANARY}`,
  `x-api-key: ${CANARY}`,
  `api-key: ${CANARY}`,
  `cookie: session=${CANARY}`,
  `x-custom-secret: ${CANARY}`,
];

function draft({
  method = 'POST',
  path = CHAT,
  target,
  version = '1.1',
  host = 'gateway',
  ...rest
}: Draft): Buffer {
  const { lines = [], keys = true, body = JSON.stringify(SOUND), length } = rest;
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  const size = length === false ? [] : [`content-length: ${length ?? bytes.length}`];
  const head = [
    `${method} ${target ?? `${path}${path.includes('?') ? '&' : '?'}key=${CANARY}`} HTTP/${version}`,
    `host: ${host}`,
    'content-type: application/json',
    ...(keys ? KEY_LINES : []),
    ...size,
    ...lines,
  ];
  return Buffer.concat([latin1(`${head.join('\r\n')}\r\n\r\n`), bytes]);
}

type Family = (
  add: (name: string, expect: readonly number[], what: Draft | (() => Iterable<Buffer>)) => void,
) => void;

const REFUSED = [400, 0];
const ANY = [200, 400, 0];

const shown = (text: string) => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);

const FAMILIES: Record<string, Family> = {
  'bytes in headers and paths': (add) => {
    for (const [name, byte] of [
      ['NUL', '\0'],
      ['SOH', '\x01'],
      ['backspace', '\b'],
      ['vertical tab', '\v'],
      ['DEL', '\x7f'],
      ['bare CR', '\r'],
      ['bare LF', '\n'],
    ] as const) {
      // For some a bare LF ends a line, and what follows would be a header.
      add(`${name} in a value`, REFUSED, {
        lines: [`x-a: b${byte}x-loop-agent: evil`],
      });
      add(`${name} in a name`, REFUSED, { lines: [`x${byte}a: b`] });
      add(`${name} in the path`, [400, 404, 0], { target: `${CHAT}${byte}` });
      add(`${name} in x-loop-run`, REFUSED, { lines: [`x-loop-run: a${byte}b`] });
      add(`${name} in a key`, REFUSED, {
        lines: [`x-api-key: ${FALSE_KEY}${byte}b`],
      });
    }
    add('CRLF, escaped, in the path', [200], { path: '/loops/hostile/v1/files/a%0d%0ax-evil:%20b' });
    add('CRLF, escaped, in the loop', [400], { path: '/loops/a%0d%0ab/v1/chat/completions' });
    add('NUL, escaped, in the agent', [400], { path: '/loops/hostile/agents/a%00/v1/chat/completions' });
  },

  'lengths that smuggle': (add) => {
    const second = `GET /smuggled HTTP/1.1\r\nhost: gateway\r\n\r\n`;
    const chunked = `2\r\n{}\r\n0\r\n\r\n`;
    const lengths: [string, string[], string][] = [
      ['content-length and transfer-encoding', ['content-length: 4', 'transfer-encoding: chunked'], chunked],
      ['transfer-encoding and content-length', ['transfer-encoding: chunked', 'content-length: 4'], chunked],
      ['two content-lengths', ['content-length: 2', 'content-length: 40'], `{}${second}`],
      ['a list of content-lengths', ['content-length: 2, 40'], `{}${second}`],
      ['a signed content-length', ['content-length: +2'], `{}${second}`],
      ['a negative content-length', ['content-length: -2'], `{}${second}`],
      ['a hexadecimal content-length', ['content-length: 0x2'], `{}${second}`],
      ['a content-length past 2^64', ['content-length: 18446744073709551618'], `{}${second}`],
      ['a content-length with a space in it', ['content-length: 2 2'], `{}${second}`],
      ['an unknown transfer-encoding', ['transfer-encoding: xchunked'], chunked],
      ['chunked not last', ['transfer-encoding: chunked, identity'], chunked],
      ['chunked twice', ['transfer-encoding: chunked', 'transfer-encoding: chunked'], chunked],
      ['chunked behind a tab', ['transfer-encoding:\tchunked', 'content-length: 4'], chunked],
      ['a space before the colon', ['transfer-encoding : chunked', 'content-length: 4'], chunked],
      ['an obsolete fold', ['x-a: b', ' transfer-encoding: chunked', 'content-length: 4'], chunked],
      ['a fold in the first line', [' transfer-encoding: chunked'], chunked],
      ['a negative chunk', ['transfer-encoding: chunked'], '-2\r\n{}\r\n0\r\n\r\n'],
      ['a chunk past 2^64', ['transfer-encoding: chunked'], '10000000000000002\r\n{}\r\n0\r\n\r\n'],
      ['a chunk in 0x', ['transfer-encoding: chunked'], '0x2\r\n{}\r\n0\r\n\r\n'],
      ['a chunk longer than it says', ['transfer-encoding: chunked'], '2\r\n{}{}\r\n0\r\n\r\n'],
      ['a chunk extension with a line in it', ['transfer-encoding: chunked'], `2;a="\n"\r\n{}\r\n0\r\n\r\n`],
      ['a header without a colon', ['content-length: 2', 'nothing'], '{}'],
      ['a header without a name', ['content-length: 2', ': b'], '{}'],
    ];
    for (const [name, lines, body] of lengths) add(name, REFUSED, { length: false, lines, body });
    add('a body on a GET', [200, 400, 404, 0], {
      method: 'GET',
      path: '/loops/hostile/v1/models',
      body: second,
    });
    add('HTTP/1.0 with chunks', ANY, {
      version: '1.0',
      length: false,
      lines: ['transfer-encoding: chunked'],
      body: chunked,
    });
    add('HTTP/9.9', ANY.concat(505), { version: '9.9' });
    add('HTTP/2 by prior knowledge', REFUSED, () => [latin1('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')]);
    add('a TLS hello', REFUSED, () => [Buffer.from('16030100c8010000c40303', 'hex')]);
    add('an upgrade', [200], {
      lines: ['connection: upgrade', 'upgrade: websocket', 'sec-websocket-key: a'],
    });
    add('an upgrade to h2c', [200], {
      lines: ['connection: Upgrade, HTTP2-Settings', 'upgrade: h2c', 'http2-settings: AAA'],
    });
    add('an unknown expectation', [200, 417], { lines: ['expect: money'] });
    add('a connection that names the keys', [200], {
      lines: ['connection: authorization, x-api-key, content-type'],
    });
  },

  'names that every object has': (add) => {
    for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf']) {
      const polluting = `{"${name}":{"polluted":"yes","toString":null},"model":"gpt-4o","messages":[]}`;
      add(`${name} in the body`, [200], { body: polluting });
      add(`${name} in a message`, [200], {
        body: `{"model":"gpt-4o","messages":[{"role":"${name}","${name}":{"polluted":1},"content":"x"}]}`,
      });
      add(`${name} as the model`, [200], { body: `{"model":"${name}","messages":[]}` });
      add(`${name} as a virtual model of Anthropic`, [200], {
        path: MESSAGES,
        body: `{"model":"${name}","max_tokens":1,"messages":[]}`,
      });
      add(`${name} as a tool`, [200], {
        body: `{"model":"gpt-4o","messages":[],"tools":[{"type":"function","function":{"name":"${name}"}}]}`,
      });
      add(`${name} as a provider`, [404], { path: `/${name}/v1/chat/completions` });
      add(`${name} as an agent`, [200, 400], { lines: [`x-loop-agent: ${name}`] });
      add(`${name} as an Idempotency-Key`, [200], { lines: [`idempotency-key: ${name}`] });
      add(`${name} as a header`, [200], { lines: [`${name}: x`] });
    }
  },

  'JSON nested deep': (add) => {
    const DEPTH = 100_000;
    const arrays = '['.repeat(DEPTH) + ']'.repeat(DEPTH);
    const objects = `${'{"a":'.repeat(DEPTH)}1${'}'.repeat(DEPTH)}`;
    for (const [shape, deep] of [
      ['arrays', arrays],
      ['objects', objects],
    ] as const) {
      add(`${shape}, the body itself`, [200], { body: deep });
      add(`${shape} as messages`, [200], { body: `{"model":"gpt-4o","messages":${deep}}` });
      add(`${shape} as content`, [200], {
        body: `{"model":"gpt-4o","messages":[{"role":"user","content":${deep}}]}`,
      });
      add(`${shape} as tools`, [200], { body: `{"model":"gpt-4o","messages":[],"tools":${deep}}` });
      add(`${shape} beside a virtual model`, [200], {
        body: `{"x":${deep},"model":"virtual","messages":[]}`,
      });
      add(`${shape} as Anthropic's content`, [200], {
        path: MESSAGES,
        body: `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":${deep}}]}`,
      });
      add(`${shape} as Responses' input`, [200], {
        path: '/loops/hostile/v1/responses',
        body: `{"model":"m","input":${deep}}`,
      });
    }
    add('arrays that never close', [200], { body: '['.repeat(DEPTH) });
    add('a string that never closes', [200], { body: `{"model":"${'\\\\'.repeat(DEPTH)}` });
  },

  'bodies too large': (add) => {
    const MEGABYTE = 1024 * 1024;
    add('100 MB, announced', [413, 0], { body: '', length: String(100 * MEGABYTE) });
    add('2^53 bytes, announced', [413, 0], { body: '', length: '9007199254740993' });
    add('100 MB, announced and sent', [413, 0], function* () {
      yield draft({ body: '', length: String(100 * MEGABYTE) });
      for (let i = 0; i < 100; i++) yield Buffer.alloc(MEGABYTE, ' ');
    });
    add('100 MB in chunks', [413, 0], function* () {
      yield draft({ body: '', length: false, lines: ['transfer-encoding: chunked'] });
      const chunk = Buffer.concat([latin1('100000\r\n'), Buffer.alloc(MEGABYTE, ' '), latin1('\r\n')]);
      for (let i = 0; i < 100; i++) yield chunk;
      yield latin1('0\r\n\r\n');
    });
    add('100,000 chunks of a byte', [200], function* () {
      yield draft({ body: '', length: false, lines: ['transfer-encoding: chunked'] });
      for (let i = 0; i < 100; i++) yield latin1('1\r\n \r\n'.repeat(1_000));
      yield latin1('2\r\n{}\r\n0\r\n\r\n');
    });
    add('a body that never comes', [0], { body: '{', length: '1000' });
    add('one name, 100,000 times', [200], { body: `{${'"model":"gpt-4o",'.repeat(100_000)}"messages":[]}` });
    add('a model of a megabyte', [200], { body: `{"model":"${'m'.repeat(MEGABYTE)}","messages":[]}` });
    add('100,000 messages', [200], {
      body: `{"model":"gpt-4o","messages":[${Array(100_000).fill('{"role":"user","content":"x"}')}]}`,
    });
  },

  'bytes that are no UTF-8': (add) => {
    for (const [name, bytes] of [
      ['a lone 0xff', [0xff]],
      ['an overlong NUL', [0xc0, 0x80]],
      ['a surrogate', [0xed, 0xa0, 0x80]],
      ['past U+10FFFF', [0xf5, 0x80, 0x80, 0x80]],
      ['a cut character', [0xe2, 0x82]],
      ['a byte-order mark', [0xef, 0xbb, 0xbf]],
    ] as const) {
      const bad = Buffer.from(bytes).toString('latin1');
      add(`${name} in a message`, [200], {
        body: latin1(`{"model":"gpt-4o","messages":[{"role":"user","content":"${bad}"}]}`),
      });
      add(`${name} as the model`, [200], { body: latin1(`{"model":"${bad}","messages":[]}`) });
      add(`${name} before the body`, [200], { body: latin1(`${bad}{"model":"gpt-4o","messages":[]}`) });
      add(`${name} in a header`, [200], { lines: [`x-a: ${bad}`] });
      add(`${name} in x-loop-item`, [400], { lines: [`x-loop-item: ${bad}`] });
      add(`${name} in the path`, [200, 400, 404, 0], { target: `/loops/hostile/v1/files/${bad}` });
    }
    for (const escaped of ['%ff', '%c0%80', '%ed%a0%80', '%', '%zz'])
      add(`${escaped} as the loop`, [400], { path: `/loops/${escaped}/v1/chat/completions` });
    add('a lone surrogate, escaped', [200], {
      body: '{"model":"gpt-4o\\ud800","messages":[{"role":"user","content":"\\udfff"}]}',
    });
  },

  'numbers that are none': (add) => {
    const numbers = [
      '1e308',
      '-1e308',
      '1e400',
      '-0',
      '1e-400',
      '9007199254740993',
      '18446744073709551616',
      '9'.repeat(1_000),
      '-1',
      '0.1',
    ];
    for (const number of numbers)
      for (const field of ['max_tokens', 'temperature', 'seed', 'n'])
        add(`${field}: ${shown(number)}`, [200], {
          body: `{"model":"gpt-4o","messages":[],"${field}":${number}}`,
        });
    for (const number of ['NaN', 'Infinity', '0x10', '1_000', '01'])
      add(`max_tokens: ${number}`, [200], {
        body: `{"model":"gpt-4o","messages":[],"max_tokens":${number}}`,
      });
  },

  'content types': (add) => {
    for (const type of [
      'text/html',
      'multipart/form-data; boundary=x',
      'application/json; charset=utf-16',
      'a'.repeat(8_000),
      '/',
      ';',
      'application/x-protobuf',
    ])
      add(shown(type), [200], () =>
        [draft({}).toString('latin1')].map((text) =>
          latin1(text.replace('content-type: application/json', `content-type: ${type}`)),
        ),
      );
    add('two of them', [200], { lines: ['content-type: text/plain'] });
    add('a content encoding that it does not have', [200], { lines: ['content-encoding: gzip'] });
  },

  'headers without end': (add) => {
    add('one of a megabyte', [431, 0], { lines: [`x-a: ${'b'.repeat(1024 * 1024)}`] });
    add('a name of 64 KB', [431, 0], { lines: [`${'x'.repeat(65_536)}: b`] });
    add('20,000 of them', [431, 0], { lines: Array.from({ length: 20_000 }, (_, i) => `x-${i}: b`) });
    add('1,500 short ones', [200, 431, 0], { lines: Array.from({ length: 1_500 }, (_, i) => `a${i}:`) });
    add('a path of a megabyte', [414, 431, 0], { path: `/loops/hostile/v1/${'a'.repeat(1024 * 1024)}` });
    add('a path of 2,000 segments', [200], { path: `/loops/hostile/v1${'/a'.repeat(2_000)}` });
    add('a head that never ends', [0], () => [latin1(`POST ${CHAT} HTTP/1.1\r\nhost: a\r\nx-a: `)]);
    add('an endless trailer', [200, 400, 431, 0], {
      length: false,
      lines: ['transfer-encoding: chunked'],
      body: `2\r\n{}\r\n0\r\nx-t: ${'b'.repeat(100_000)}\r\n\r\n`,
    });
  },

  'paths that climb': (add) => {
    for (const path of [
      '/v1/../../healthz',
      '/v1/..%2f..%2fhealthz',
      '/v1/%2e%2e/%2e%2e/admin',
      '/v1/.%2e/admin',
      '/v1/%2E./admin',
      '/v1/..\\admin',
      '/v1/..%5cadmin',
      '/v1/chat/./completions',
      '/openai/v1/../../secret',
      '/anthropic/../openai/models',
      '/anthropic/%2e%2e/x',
      '/loops/hostile/v1/../../../x',
      '/loops/../v1/models',
      '/loops/hostile/agents/../v1/models',
    ])
      add(path, [400], { path });
    for (const path of [
      '//169.254.169.254/latest',
      '/\\169.254.169.254/',
      '/@169.254.169.254/',
      '/http://169.254.169.254/',
      '/./v1',
      '/v2/x',
      '/%2fv1/models',
    ])
      add(path, [400, 404], { path });
    for (const path of [
      '/v1//169.254.169.254/latest',
      '/v1/@169.254.169.254/',
      '/v1/%252e%252e/x',
      '/anthropic//169.254.169.254/',
      '/v1/http://169.254.169.254/',
      `/v1/files/${CANARY}`,
      `/anthropic/v1/files/${CANARY}/content`,
    ])
      add(path.replace(CANARY, 'KEY'), [200], { path });
    add('a key at no provider', [404], { path: `/${CANARY}/x` });
  },

  'hosts and absolute forms': (add) => {
    for (const target of [
      'http://169.254.169.254/latest/meta-data',
      'http://[::ffff:169.254.169.254]/',
      'https://evil.example/v1/chat/completions',
      'file:///etc/passwd',
      '*',
    ])
      add(`target ${target}`, [400, 404, 0], { target });
    for (const host of ['169.254.169.254', '[::ffff:a9fe:a9fe]', 'evil.example:443', 'a b', ''])
      add(`host ${shown(host)}`, ANY, { host });
    add('two hosts', ANY, { lines: ['host: evil.example'] });
    add('CONNECT', [400, 404, 405, 0], { method: 'CONNECT', target: '169.254.169.254:80', body: '' });
    add('TRACE', [200, 400, 404, 405, 0], { method: 'TRACE', body: '' });
    add('a method that nobody has', [400, 0], { method: 'EVIL' });
    for (const name of [
      'x-forwarded-host',
      'x-base-url',
      'x-loop-base-url',
      'x-provider-url',
      'x-original-url',
      'x-rewrite-url',
      'forwarded',
    ])
      add(`${name} names another host`, [200], { lines: [`${name}: http://169.254.169.254/`] });
    for (const field of ['base_url', 'baseURL', 'provider', 'api_base', 'endpoint'])
      add(`${field} in the body names another host`, [200], {
        body: JSON.stringify({ ...SOUND, [field]: 'http://169.254.169.254/' }),
      });
    add('base_url in the query', [200], { path: `${CHAT}?base_url=http://169.254.169.254/` });
  },

  'values of our own headers': (add) => {
    const long = 'a'.repeat(8_000);
    for (const value of [
      '',
      ' ',
      long,
      '"',
      '{"a":1}',
      "'; DROP TABLE otel_traces --",
      '../../etc/passwd',
      '\x80\xff',
    ])
      add(`idempotency-key: ${shown(value)}`, [200, 400], { lines: [`idempotency-key: ${value}`] });
    for (const value of [
      '',
      '00',
      '00-0-0-00',
      `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01`,
      `ff-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
      `00-${'A'.repeat(32)}-${'B'.repeat(16)}-01`,
      `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01-${long}`,
      long,
    ])
      add(`traceparent: ${shown(value)}`, [200], { lines: [`traceparent: ${value}`] });
    for (const value of [long, '=,=,=', 'a=b,'.repeat(1_000), '\x80=\xff'])
      add(`tracestate: ${shown(value)}`, [200], {
        lines: [`traceparent: 00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, `tracestate: ${value}`],
      });
    for (const name of ['x-loop', 'x-loop-run', 'x-loop-agent', 'x-loop-parent-agent'])
      for (const value of ['../x', 'a b', "';--", long, '<script>'])
        add(`${name}: ${shown(value)}`, [400], { lines: [`${name}: ${value}`] });
    add('a loop that is not that of the path', [400], { lines: ['x-loop: other'] });
    add('a run said twice', [200, 400], { lines: ['x-loop-run: a', 'x-loop-run: b'] });
    for (const name of ['x-stainless-timeout', 'x-request-timeout-ms'])
      for (const value of ['-1', 'NaN', '1e9', '9'.repeat(400), '0x10', ''])
        add(`${name}: ${shown(value)}`, [200], { lines: [`${name}: ${value}`] });
  },

  'keys that look like ours': (add) => {
    for (const line of [
      `authorization: Bearer ${FALSE_KEY}`,
      `authorization: bearer   ${FALSE_KEY}`,
      `x-api-key: ${FALSE_KEY}`,
      `api-key: ${FALSE_KEY}`,
      `x-goog-api-key: ${FALSE_KEY}`,
    ])
      add(`an unknown one, ${line.split(FALSE_KEY)[0]}`, [401], { keys: false, lines: [line] });
    for (const line of [
      `x-anything: ${FALSE_KEY}`,
      `cookie: a=${FALSE_KEY}`,
      `authorization: Basic ${FALSE_KEY}`,
      `authorization: ${FALSE_KEY}`,
      `proxy-authorization: Bearer ${FALSE_KEY}`,
      `x-a: prefix${FALSE_KEY}suffix`,
    ])
      add(`an unknown one, where none stands: ${line.split(FALSE_KEY)[0]}`, [200, 401], {
        keys: false,
        lines: [line],
      });
  },
};

/** All of them, in order. */
export function hostileRequests(): HostileRequest[] {
  return Object.entries(FAMILIES).flatMap(([family, fill]) => {
    const cases: HostileRequest[] = [];
    fill((name, expect, what) => {
      const pieces = typeof what === 'function' ? what : () => [draft(what)];
      cases.push({ family, name, expect, pieces });
    });
    return cases;
  });
}
