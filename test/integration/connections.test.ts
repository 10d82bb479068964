import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import {
  createServer as createTlsServer,
  getCACertificates,
  setDefaultCACertificates,
  type TLSSocket,
} from 'node:tls';
import { Connections } from '../../src/gateway/connections/connections.ts';
import type {
  ConnectionError,
  Exchange,
  ExchangeListener,
  ProviderRequest,
} from '../../src/gateway/connections/exchange.ts';
import { inFolder } from '../support/cli.ts';
import { until } from '../support/until.ts';

/** Connections over real sockets, to servers that write their bytes themselves. */

/** A server on loopback; all of it is closed when a test is over. */
interface Listening {
  target: Parameters<Connections['send']>[0];
  /** All that were ever accepted, in this order. */
  sockets: Socket[];
  close(): Promise<void>;
}

let connections: Connections;
let listening: Listening[] = [];
let told: Told[] = [];

beforeEach(() => {
  connections = new Connections();
});
afterEach(async () => {
  const [servers, all] = [listening, told];
  [listening, told] = [[], []];
  await connections.destroy();
  await Promise.all(servers.map((server) => server.close()));
  // What is told is told in order, and nothing after the end; a listener that threw hears of it.
  for (const { events } of all)
    assert.match(events.join(' '), /^(sent ?)?(head ?)?(body ?)?(end ?)?(failed)?$/);
});

const at = (port: number, scheme = 'http') => ({
  origin: `${scheme}://127.0.0.1:${port}`,
  basePath: '',
  address: '127.0.0.1',
  port,
  apiKey: undefined,
  apiKeyEnv: undefined,
});

async function listenOn(server: Server, event: string, serve: (socket: Socket) => void, scheme: string) {
  const sockets: Socket[] = [];
  server.on('connection', (socket: Socket) => {
    sockets.push(socket);
    socket.on('error', () => {}); // whoever leaves in the middle is what is tested here
  });
  server.on('tlsClientError', () => {});
  server.on(event, (socket: Socket) => {
    socket.on('error', () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const one: Listening = {
    target: at((server.address() as AddressInfo).port, scheme),
    sockets,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
  listening.push(one);
  return one;
}

const listen = (serve: (socket: Socket) => void) =>
  listenOn(
    createServer({ noDelay: true }, () => {}),
    'connection',
    serve,
    'http',
  );
const listenTls = (serve: (socket: TLSSocket) => void, { key, cert }: Certificate) =>
  listenOn(
    createTlsServer({ key, cert, ALPNProtocols: ['h2', 'http/1.1'] }),
    'secureConnection',
    (socket) => serve(socket as TLSSocket),
    'https',
  );

interface Asked {
  line: string;
  head: string;
  body: Buffer;
}

/** Calls `answer` for each request that comes over a socket, when it is whole. */
const forEach = (answer: (socket: Socket, asked: Asked) => void) => (socket: Socket) => {
  let chunks: Buffer[] = [];
  let missing = 0;
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    missing -= chunk.length;
    if (missing > 0) return;
    const bytes = Buffer.concat(chunks);
    const headEnd = bytes.indexOf('\r\n\r\n');
    const head = bytes.toString('latin1', 0, headEnd);
    const whole = headEnd + 4 + Number(/^content-length: (.*)$/m.exec(head)?.[1] ?? 0);
    missing = headEnd === -1 ? 1 : whole - bytes.length;
    if (missing > 0) return;
    chunks = [];
    answer(socket, { line: head.slice(0, head.indexOf('\r\n')), head, body: bytes.subarray(headEnd + 4) });
  });
};

/** The answers of a server, one after the other over whichever connections, the last one for ever. */
const inTurn = (...answers: (string | ((socket: Socket, asked: Asked) => void))[]) => {
  let next = 0;
  return forEach((socket, asked) => {
    const answer = answers[Math.min(next++, answers.length - 1)]!;
    if (typeof answer === 'string') socket.write(answer, 'latin1');
    else answer(socket, asked);
  });
};

const answer = (body: string, ...lines: string[]) =>
  [`HTTP/1.1 200 OK`, `content-length: ${body.length}`, ...lines, '', body].join('\r\n');
const CHUNKED = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n';
const silence = () => {};

/** What the listener of a request was told. */
interface Told {
  exchange: Exchange;
  events: string[];
  status?: number;
  headers: string[];
  chunks: Buffer[];
  readonly body: Buffer;
  readonly text: string;
  error?: ConnectionError;
  readonly isOver: boolean;
}

function send(
  to: Pick<Listening, 'target'>,
  asked: Partial<ProviderRequest> = {},
  also: Partial<ExchangeListener> = {},
): Told {
  const request = { method: 'GET', path: '/', headers: [], body: undefined, ...asked };
  const seen: Omit<Told, 'exchange'> = {
    events: [],
    headers: [],
    chunks: [],
    get body() {
      return Buffer.concat(this.chunks);
    },
    get text() {
      return this.body.toString('latin1');
    },
    get isOver() {
      return this.events.includes('end') || this.events.includes('failed');
    },
  };
  const exchange = connections.send(to.target, request, {
    sent: () => {
      seen.events.push('sent');
      also.sent?.();
    },
    head: (status, statusText, headers) => {
      seen.events.push('head');
      Object.assign(seen, { status, headers });
      also.head?.(status, statusText, headers);
    },
    body: (chunk) => {
      // Once, however many: so that what is told can be written down.
      if (seen.events.at(-1) !== 'body') seen.events.push('body');
      seen.chunks.push(chunk);
      also.body?.(chunk);
    },
    end: () => {
      seen.events.push('end');
      also.end?.();
    },
    failed: (error) => {
      assert.equal(seen.error, undefined, 'told twice that it failed');
      seen.events.push('failed');
      seen.error = error;
      also.failed?.(error);
    },
  });
  assert.deepEqual(seen.events, [], 'told something before send has returned');
  const all = Object.assign(seen, { exchange });
  told.push(all);
  return all;
}

async function call(...args: Parameters<typeof send>): Promise<Told> {
  const seen = send(...args);
  await until('the request to be over', () => seen.isOver);
  return seen;
}

const faultOf = ({ events, error }: Told) => [events.join(' '), error?.fault];
const isClosed = (socket: Socket | undefined) => socket?.closed === true;
/** Well before an idle one would be closed because of its age. */
const closed = (server: Listening, nth = 0) =>
  until(`connection ${nth} to be closed`, () => isClosed(server.sockets[nth]), 2_500);

test('an answer is told in order, and the request is what was asked for', async () => {
  const asked: Asked[] = [];
  const server = await listen(
    forEach((socket, one) => {
      asked.push(one);
      socket.write(answer('hello', 'X-Odd: a  B'));
    }),
  );
  server.target = { ...server.target, basePath: '/base' };
  const body = Buffer.from('{"a":"ü"}');
  const seen = await call(server, { method: 'POST', path: '/v1/x?y=z', headers: ['x-a', 'b\xff'], body });
  assert.deepEqual([seen.events.join(' '), seen.status, seen.text], ['sent head body end', 200, 'hello']);
  assert.deepEqual(seen.headers, ['content-length', '5', 'X-Odd', 'a  B']);
  assert.equal(
    asked[0]!.head,
    `POST /base/v1/x?y=z HTTP/1.1\r\nhost: 127.0.0.1:${server.target.port}\r\nconnection: keep-alive\r\nx-a: b\xff\r\ncontent-length: 10`,
  );
  assert.deepEqual(asked[0]!.body, body);
  await call(server, { path: '' });
  assert.equal(asked[1]!.line, 'GET /base HTTP/1.1');
});

for (const [what, method, bytes] of [
  ['with a length', 'GET', answer('first')],
  ['in chunks', 'GET', `${CHUNKED}5;x\r\nfirst\r\n0\r\nx-trailer: a\r\n\r\n`],
  ['of no length', 'GET', answer('')],
  ['without a body', 'DELETE', 'HTTP/1.1 204 No Content\r\n\r\n'],
  ['that nothing changed', 'GET', 'HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n'],
  ['to HEAD', 'HEAD', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n'],
  ['behind an early one', 'GET', `HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n${answer('first')}`],
  ['of a server that is patient', 'GET', answer('first', 'Keep-Alive: timeout=30')],
] as const)
  test(`a connection is used again after an answer ${what}`, async () => {
    const server = await listen(inTurn(bytes, answer('second')));
    const first = await call(server, { method });
    assert.equal(first.events.at(-1), 'end');
    const second = await call(server);
    assert.deepEqual([second.text, server.sockets.length], ['second', 1]);
  });

for (const [what, bytes, text] of [
  ['says that it is the last', answer('ab', 'Connection: x, Close'), 'ab'],
  ['is of HTTP/1.0', answer('ab', 'connection: keep-alive').replace('HTTP/1.1', 'HTTP/1.0'), 'ab'],
  ['has bytes behind it', answer('ab') + answer('smuggled'), 'ab'],
  ['has a line break too many behind it', `${answer('ab')}\r\n`, 'ab'],
  ['has a body and was told to have none', `${answer('')}ab`, ''],
  ['keeps it for 2 s', answer('ab', 'keep-alive: timeout=2'), 'ab'],
  ['keeps it for 0 s', answer('ab', 'keep-alive: timeout=0, max=100'), 'ab'],
] as const)
  test(`a connection is closed, and not used again, after an answer that ${what}`, async () => {
    const server = await listen(inTurn(bytes, answer('second')));
    const first = await call(server);
    assert.deepEqual([first.events.at(-1), first.text], ['end', text]);
    const second = await call(server);
    assert.deepEqual([second.text, server.sockets.length], ['second', 2]);
    await closed(server);
  });

test('a body that ends with the connection is whole, and the next request goes over another one', async () => {
  const server = await listen(
    inTurn((socket) => void socket.end('HTTP/1.1 200 OK\r\n\r\nall of it'), answer('second')),
  );
  const first = await call(server);
  assert.deepEqual([first.events.join(' '), first.text], ['sent head body end', 'all of it']);
  const second = await call(server);
  assert.deepEqual([second.text, server.sockets.length], ['second', 2]);
});

test('an answer that came before its request was all out is told, and its connection is closed', async () => {
  const server = await listen((socket) => {
    if (server.sockets.length > 1) return forEach((s) => void s.write(answer('second')))(socket);
    socket.once('data', () => {
      socket.pause(); // more than all buffers between us hold is to come
      socket.write(answer('too large'));
    });
  });
  const first = await call(server, { method: 'POST', body: Buffer.alloc(32 * 1024 * 1024) });
  assert.deepEqual([first.events.at(-1), first.text], ['end', 'too large']);
  const second = await call(server);
  assert.deepEqual([second.text, server.sockets.length], ['second', 2]);
  server.sockets[0]!.resume();
  await closed(server);
});

test('an idle connection that the server closes is not used, and costs the next request nothing', async () => {
  const server = await listen(inTurn(answer('ab')));
  await call(server);
  server.sockets[0]!.end();
  await closed(server);
  const next = await call(server);
  assert.deepEqual([next.events.join(' '), server.sockets.length], ['sent head body end', 2]);
});

test('an idle connection that the server breaks in the very turn of a request is not used for it', async () => {
  const server = await listen(inTurn(answer('ab')));
  for (let i = 1; i <= 5; i++) {
    await call(server);
    await new Promise((resolve) => setTimeout(resolve)); // to where the event loop goes on to listen
    server.sockets.at(-1)!.resetAndDestroy();
    const next = await call(server);
    assert.deepEqual([next.events.join(' '), server.sockets.length], ['sent head body end', i + 1]);
  }
});

test('requests of the same turn go over as many connections, which are all used again', async () => {
  const server = await listen(forEach((socket, { line }) => void socket.write(answer(line))));
  for (let round = 0; round < 3; round++) {
    const all = [1, 2, 3].map((n) => send(server, { path: `/${round}/${n}` }));
    await until('all to be over', () => all.every(({ isOver }) => isOver));
    assert.deepEqual(
      all.map(({ text }) => text),
      [1, 2, 3].map((n) => `GET /${round}/${n} HTTP/1.1`),
    );
    assert.equal(server.sockets.length, 3);
  }
});

test('bytes that come over an idle connection close it, and are no answer to the next request', async () => {
  const server = await listen(inTurn(answer('first'), answer('second')));
  await call(server);
  server.sockets[0]!.write(answer('smuggled'));
  await closed(server);
  const next = await call(server);
  assert.deepEqual([next.text, server.sockets.length], ['second', 2]);
});

/** That nothing more is told: a request that began later is over meanwhile. */
async function staysSilent(seen: Told, events: string): Promise<void> {
  const other = await listen(inTurn(answer('ab')));
  for (let i = 0; i < 3; i++) await call(other);
  assert.equal(seen.events.join(' '), events);
}

test('a request that is given up in the turn in which it was made opens no connection', async () => {
  const server = await listen(inTurn(answer('ab')));
  const seen = send(server);
  seen.exchange.abort();
  await staysSilent(seen, '');
  assert.equal(server.sockets.length, 0);
});

test('a request that is given up before it is connected is never sent', async () => {
  // Its part of the handshake never comes, so that nobody is ever connected.
  let received = '';
  const server = await listen((socket) => {
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
    });
  });
  const seen = send({ target: at(server.target.port, 'https') }, { headers: ['x-secret', 'canary'] });
  await until('the handshake to begin', () => received !== '');
  seen.exchange.abort();
  await closed(server);
  await staysSilent(seen, '');
  assert.doesNotMatch(received, /canary/);
});

for (const [where, bytes, events] of [
  ['before its answer', '', 'sent'],
  ['within the head of its answer', 'HTTP/1.1 200 OK\r\nx-a:', 'sent'],
  ['within the body of its answer', `${CHUNKED}3\r\nabc\r\n`, 'sent head body'],
] as const)
  test(`a request that is given up ${where} closes its connection, and nothing more is told`, async () => {
    let isAnswered = false;
    const server = await listen(
      inTurn((socket) => {
        isAnswered = true;
        if (bytes) socket.write(bytes);
      }, answer('second')),
    );
    const seen = send(server);
    await until('the answer to begin', () => isAnswered && seen.events.join(' ') === events);
    seen.exchange.abort();
    await closed(server);
    await staysSilent(seen, events);
    assert.equal((await call(server)).text, 'second');
  });

for (const event of ['sent', 'head', 'body'] as const)
  test(`a request that is given up within ${event} is told nothing more, even of what came with it`, async () => {
    const server = await listen(inTurn(`${CHUNKED}3\r\nabc\r\n0\r\n\r\n`));
    const abort = () => seen.exchange.abort();
    const seen = send(server, {}, { [event]: abort });
    await closed(server);
    await staysSilent(seen, { sent: 'sent', head: 'sent head', body: 'sent head body' }[event]);
  });

test('a request that is given up within its body is not told that what came behind is no HTTP', async () => {
  const server = await listen(inTurn(`${CHUNKED}3\r\nabc\r\nno size`));
  const seen: Told = send(server, {}, { body: () => seen.exchange.abort() });
  await closed(server);
  await staysSilent(seen, 'sent head body');
});

test('an exchange that is over does nothing to the next one on its connection', async () => {
  const last = Promise.withResolvers<void>();
  const server = await listen(
    inTurn(answer('first'), async (socket) => {
      socket.write(`${CHUNKED}3\r\nabc\r\n`);
      await last.promise;
      socket.write('3\r\ndef\r\n0\r\n\r\n');
    }),
  );
  const first = await call(server);
  const second = send(server);
  await until('the body to begin', () => second.text === 'abc');
  first.exchange.pause();
  first.exchange.abort();
  last.resolve();
  await until('the request to be over', () => second.isOver);
  assert.deepEqual([second.events.at(-1), second.text, server.sockets.length], ['end', 'abcdef', 1]);
});

const PIECE_BYTES = 1024 * 1024;

/** Writes pieces in chunks; `taken` is how many of them the other side and the buffers between have taken. */
function pour(socket: Socket, pieces: Buffer[]): { taken: number } {
  const poured = { taken: 0 };
  socket.write(CHUNKED);
  for (const piece of pieces) {
    socket.write(`${piece.length.toString(16)}\r\n`);
    socket.write(piece);
    socket.write('\r\n', () => void poured.taken++);
  }
  socket.write('0\r\n\r\n');
  return poured;
}

test('where no more is wanted for now the server is held up, and afterwards all arrives as it was', async () => {
  const pieces = Array.from({ length: 50 }, () => randomBytes(PIECE_BYTES));
  let poured = { taken: 0 };
  const server = await listen(
    inTurn((socket) => {
      poured = pour(socket, pieces);
    }, answer('second')),
  );
  let isHeldUp = false;
  const seen: Told = send(
    server,
    {},
    {
      body: () => {
        if (isHeldUp) return;
        isHeldUp = true;
        seen.exchange.pause();
      },
    },
  );
  let before = -1;
  await until('the buffers to be full', () => {
    const isSame = isHeldUp && poured.taken === before;
    before = poured.taken;
    return isSame;
  });
  assert.ok(poured.taken < 20, `${poured.taken} MB taken`);
  assert.ok(seen.body.length <= 2 * PIECE_BYTES, `${seen.body.length} bytes told`);
  seen.exchange.resume();
  await until('the rest', () => seen.isOver);
  assert.equal(seen.events.at(-1), 'end');
  assert.ok(seen.body.equals(Buffer.concat(pieces)));
  assert.equal(poured.taken, 50);
  // It was told to go on, and does so for the next one.
  assert.deepEqual([(await call(server)).text, server.sockets.length], ['second', 1]);
});

test('a connection whose answer was held up to its end is read from again for the next one', async () => {
  const server = await listen(inTurn(answer('first'), answer('second')));
  const seen: Told = send(server, {}, { body: () => seen.exchange.pause() });
  await until('the request to be over', () => seen.isOver);
  assert.deepEqual([(await call(server)).text, server.sockets.length], ['second', 1]);
});

/** Sends back what it gets. */
const echo = (isChunked: boolean) =>
  forEach((socket, { body }) => {
    if (!isChunked) {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n`);
      socket.write(body);
      return;
    }
    let rest = body;
    socket.write(CHUNKED);
    for (let size = 1; rest.length > 0; size = (size * 7 + 3) % 40_000) {
      const chunk = rest.subarray(0, size + 1);
      rest = rest.subarray(chunk.length);
      const framed = [`${chunk.length.toString(16)};n="a"\r\n`, chunk, '\r\n'].map((part) =>
        Buffer.from(part),
      );
      socket.write(Buffer.concat(framed));
    }
    socket.write('0\r\n\r\n');
  });

for (const isChunked of [false, true])
  test(`a body comes back as it was sent, ${isChunked ? 'in chunks' : 'with its length'}`, async () => {
    const server = await listen(echo(isChunked));
    // Around what goes out in one write with its head, too; and all bytes, none of which may become another.
    const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const sizes = [0, 1, 8_000, 8_191, 8_192, 8_193, 65_536, 1024 * 1024].map((size) => randomBytes(size));
    for (const body of [every, Buffer.from('ünïcödé 🌍'), ...sizes]) {
      const seen = await call(server, { method: 'POST', body });
      assert.equal(seen.events.at(-1), 'end');
      assert.ok(seen.body.equals(body), `${body.length} bytes`);
    }
    assert.equal(server.sockets.length, 1);
  });

/** A server whose chunked answers are written by the test. */
const listenForWords = () => listen(inTurn(silence));
const words = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

test('what follows of an answer gives way to one that begins, and is told as one piece', async () => {
  const server = await listenForWords();
  const order: string[] = [];
  const old = send(server, {}, { body: (chunk) => order.push(`old ${chunk}`) });
  await until('its connection', () => server.sockets.length === 1);
  server.sockets[0]!.write(CHUNKED + words('a'));
  await until('its beginning', () => old.text === 'a');
  const fresh = send(server, {}, { body: (chunk) => order.push(`fresh ${chunk}`) });
  await until('another connection', () => fresh.events.includes('sent') && server.sockets.length === 2);
  server.sockets[0]!.write(words('bc'));
  server.sockets[1]!.write(CHUNKED + words('d'));
  await until('both', () => old.text === 'abc' && fresh.text === 'd');
  assert.deepEqual(order, ['old a', 'fresh d', 'old bc']);
  server.sockets[0]!.write(words('e'));
  server.sockets[0]!.write(`${words('f')}0\r\n\r\n`);
  await until('the end', () => old.isOver);
  assert.equal(order.at(-1), 'old ef');
  const next = send(server, {}, { body: (chunk) => order.push(`next ${chunk}`) });
  await until('the old connection to be used again', () => next.events.includes('sent'));
  server.sockets[1]!.write(words('g'));
  server.sockets[0]!.write(CHUNKED + words('h'));
  await until('both', () => fresh.text === 'dg' && next.text === 'h');
  assert.deepEqual([server.sockets.length, ...order.slice(-2)], [2, 'next h', 'fresh g']);
});

test('what came of an answer that ends with its connection is told before its end, also behind many others', async () => {
  const server = await listenForWords();
  const all = Array.from({ length: 100 }, () => send(server));
  await until('the connections', () => server.sockets.length === all.length);
  for (const socket of server.sockets) socket.write('HTTP/1.1 200 OK\r\n\r\na');
  await until('the beginnings', () => all.every(({ text }) => text === 'a'));
  for (const socket of server.sockets) socket.end('bc');
  await until('the ends', () => all.every(({ isOver }) => isOver));
  for (const seen of all) assert.deepEqual([seen.events.join(' '), seen.text], ['sent head body end', 'abc']);
});

test('what came of an answer before its connection is broken is told, also behind many others', async () => {
  const server = await listenForWords();
  const all = Array.from({ length: 100 }, () => send(server));
  await until('the connections', () => server.sockets.length === all.length);
  for (const socket of server.sockets) socket.write(CHUNKED + words('a'));
  await until('the beginnings', () => all.every(({ text }) => text === 'a'));
  // Its head is heard behind all that the others sent, when none of that was told.
  const last = send(server, {}, { head: () => server.sockets[99]!.resetAndDestroy() });
  await until('the last one', () => last.events.includes('sent') && server.sockets.length > all.length);
  for (const socket of server.sockets.slice(0, 100)) socket.write(words('bc'));
  server.sockets[100]!.write(answer('d'));
  await until('the break', () => all.some(({ isOver }) => isOver));
  const broken = all.find(({ isOver }) => isOver)!;
  assert.deepEqual([faultOf(broken)[1], broken.text], ['lost', 'abc']);
  await until('the others', () => all.every(({ text }) => text === 'abc'));
});

test('what came of an answer that is given up then is not told', async () => {
  const server = await listenForWords();
  const seen = send(server);
  await until('its connection', () => server.sockets.length === 1);
  server.sockets[0]!.write(CHUNKED + words('a'));
  await until('its beginning', () => seen.text === 'a');
  const other: Told = send(server, {}, { head: () => seen.exchange.abort() });
  await until('another connection', () => other.events.includes('sent') && server.sockets.length === 2);
  server.sockets[0]!.write(words('bc'));
  server.sockets[1]!.write(answer('d'));
  await until('the other one', () => other.isOver);
  await closed(server);
  assert.equal(seen.text, 'a');
});

test('where nobody listens the request fails as one that was never sent', async () => {
  const server = await listen(silence);
  await server.close();
  const seen = await call(server);
  assert.deepEqual(faultOf(seen), ['failed', 'connect_failed']);
  assert.equal(seen.error!.code, 'ECONNREFUSED');
});

interface Certificate {
  key: string;
  cert: string;
}

/** For `subject`, as a part of openssl's `subjectAltName`. */
function selfSigned(folder: string, name: string, subject: string): Certificate {
  const args = `-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=${subject} -keyout ${join(folder, name)}.key -out ${join(folder, name)}.pem`;
  execFileSync('openssl', ['req', ...args.split(' ')], { stdio: 'pipe' });
  return {
    key: readFileSync(join(folder, `${name}.key`), 'utf8'),
    cert: readFileSync(join(folder, `${name}.pem`), 'utf8'),
  };
}

let trusted: Certificate;
let untrusted: Certificate;
let misnamed: Certificate;

const authorities = getCACertificates('default');
before(async () => {
  await inFolder((folder) => {
    trusted = selfSigned(folder, 'trusted', 'IP:127.0.0.1');
    untrusted = selfSigned(folder, 'untrusted', 'IP:127.0.0.1');
    misnamed = selfSigned(folder, 'misnamed', 'DNS:other.example');
  });
  // As NODE_EXTRA_CA_CERTS does it.
  setDefaultCACertificates([...authorities, trusted.cert, misnamed.cert]);
});
after(() => setDefaultCACertificates(authorities));

for (const [what, certificate, code] of [
  ['that nobody trusts', () => untrusted, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
  ['of somebody else', () => misnamed, 'ERR_TLS_CERT_ALTNAME_INVALID'],
] as const)
  test(`a server with a certificate ${what} is sent no request`, async () => {
    let received = '';
    const server = await listenTls((socket) => {
      socket.on('data', (chunk) => {
        received += chunk.toString('latin1');
      });
    }, certificate());
    for (let i = 0; i < 2; i++) {
      const seen = await call(server);
      assert.deepEqual([...faultOf(seen), seen.error!.code], ['failed', 'connect_failed', code]);
      await closed(server, i);
    }
    assert.equal(received, '');
  });

test('over TLS a connection is used again, and the handshake of the next one is short', async () => {
  const handshakes: boolean[] = [];
  const serve = inTurn(answer('first'), answer('second', 'connection: close'), answer('third'));
  const server = await listenTls((socket) => {
    handshakes.push(socket.isSessionReused());
    assert.equal(socket.alpnProtocol, 'http/1.1');
    serve(socket);
  }, trusted);
  for (const text of ['first', 'second', 'third']) assert.equal((await call(server)).text, text);
  assert.deepEqual(handshakes, [false, true]);
});

test('over TLS a large body comes back as it was, though it was held up on its way', async () => {
  const server = await listenTls(echo(true), trusted);
  const body = randomBytes(4 * PIECE_BYTES);
  const seen: Told = send(
    server,
    { method: 'POST', body },
    {
      body: () => {
        seen.exchange.pause();
        setImmediate(() => seen.exchange.resume());
      },
    },
  );
  await until('the request to be over', () => seen.isOver);
  assert.equal(seen.events.at(-1), 'end');
  assert.ok(seen.body.equals(body));
});

test('a server that leaves in the middle of the handshake was sent no request', async () => {
  const server = await listen((socket) => void socket.once('data', () => socket.end()));
  const seen = await call({ target: at(server.target.port, 'https') });
  assert.deepEqual(faultOf(seen), ['failed', 'connect_failed']);
});

test('when all is closed whoever waits is told so, wherever it is, and no connection is left', async () => {
  const server = await listen(
    forEach((socket, { line }) => {
      if (line.includes('body')) socket.write(`${CHUNKED}3\r\nabc\r\n`);
      else if (line.includes('idle')) socket.write(answer('ab'));
    }),
  );
  const idle = send(server, { path: '/idle' });
  const inBody = send(server, { path: '/body' });
  const waiting = send(server, { path: '/waiting' });
  const unconnected = send({ target: at(server.target.port, 'https') });
  await until(
    'each to be where it should',
    () => idle.isOver && inBody.text === 'abc' && server.sockets.length === 4,
  );
  const unsent = send(server);
  await connections.destroy();
  const after = await call(server);
  assert.deepEqual([inBody, waiting, unconnected, unsent, after].map(faultOf), [
    ['sent head body failed', 'closing'],
    ['sent failed', 'closing'],
    ['failed', 'closing'],
    ['failed', 'closing'],
    ['failed', 'closing'],
  ]);
  assert.deepEqual(idle.events, ['sent', 'head', 'body', 'end']);
  await until('all to be closed', () => server.sockets.every(isClosed));
  assert.equal(server.sockets.length, 4);
  await connections.destroy(); // once more changes nothing
});

/** `first` ends badly while another exchange is in the middle of its answer, which must not hear of it. */
async function doesNoHarm(bytes: string, also: Partial<ExchangeListener>): Promise<Told> {
  const rest = Promise.withResolvers<void>();
  const server = await listen(
    forEach(async (socket, { line }) => {
      if (line.includes('bad')) {
        socket.write(bytes);
        if (!/length|chunked/.test(bytes)) socket.end(); // which ends the body
        return;
      }
      socket.write(`${CHUNKED}3\r\nabc\r\n`);
      await rest.promise;
      socket.write('3\r\ndef\r\n0\r\n\r\n');
    }),
  );
  const other = send(server, { path: '/other' });
  await until('the other one to begin', () => other.text === 'abc');
  const bad = await call(server, { path: '/bad' }, also);
  await until('the bad one to have failed', () => bad.error);
  rest.resolve();
  await until('the other one to be over', () => other.isOver);
  assert.deepEqual([other.events.at(-1), other.text], ['end', 'abcdef']);
  assert.equal((await call(server, { path: '/after' })).text, 'abcdef');
  return bad;
}

const OWN_MISTAKE = new Error('of the listener itself');
const throws = () => {
  throw OWN_MISTAKE;
};

for (const [event, events] of [
  ['head', 'sent head failed'],
  ['body', 'sent head body failed'],
  ['end', 'sent head body end failed'],
] as const)
  for (const [ending, bytes] of [
    ['has a length', answer('abc')],
    ['is in chunks', `${CHUNKED}3\r\nabc\r\n0\r\n\r\n`],
    ['ends with the connection', 'HTTP/1.1 200 OK\r\n\r\nabc'],
  ] as const)
    test(`a listener that throws in ${event} of an answer that ${ending} is told so, and harms nobody`, async () => {
      const bad = await doesNoHarm(bytes, { [event]: throws });
      assert.deepEqual([bad.events.join(' '), bad.error!.cause], [events, OWN_MISTAKE]);
    });

for (const isKept of [false, true])
  test(`a listener that throws in sent over a ${isKept ? 'kept' : 'new'} connection is told so, and harms nobody`, async () => {
    const server = await listen(forEach((socket) => void socket.write(answer('ab'))));
    if (isKept) await call(server);
    const bad = await call(server, {}, { sent: throws });
    await staysSilent(bad, 'sent failed');
    assert.equal((await call(server)).text, 'ab');
  });

test('a request that cannot be sent fails so, opens no connection, and the others of its turn are sent', async () => {
  const asked: string[] = [];
  const server = await listen(
    forEach((socket, { head }) => {
      asked.push(head);
      socket.write(answer('ab'));
    }),
  );
  const unsendable: Partial<ProviderRequest>[] = [
    { method: 'G T' },
    { path: 'a' },
    { path: '/a b' },
    { headers: ['x-a', 'b\r\nx-evil: c'] },
    { headers: ['Content-Length', '5'] },
    { headers: ['host', 'evil.example'] },
  ];
  const all = unsendable.map((request) => send(server, request));
  await until('all to have failed', () => all.every(({ isOver }) => isOver));
  for (const seen of all) assert.deepEqual(faultOf(seen), ['failed', 'unsendable']);
  assert.equal(server.sockets.length, 0);
  const [bad, good] = [send(server, unsendable[0]), send(server, { path: '/good' })];
  await until('both to be over', () => bad.isOver && good.isOver);
  assert.deepEqual([bad.events, good.text, asked.length, server.sockets.length], [['failed'], 'ab', 1, 1]);
});

/** Each of them, and then nothing: the connection stays open. */
for (const [what, bytes] of [
  ['another protocol', 'SSH-2.0-OpenSSH'],
  ['one wrong byte', 'x'],
  ['HTTP/2', 'HTTP/2'],
  ['a TLS alert', '\x15\x03\x01\x00\x02\x02\x46'],
  ['a line break before it', `\r\n${answer('ab')}`],
  ['half a line break in its head', 'HTTP/1.1 200 OK\r\nx-a: b\nx-c: d\r\n\r\n'],
  ['an answer to an upgrade', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
  ['a head of more than 16 KB', `HTTP/1.1 200 OK\r\nx-a: ${'b'.repeat(17_000)}`],
  ['a whole head of more than 16 KB', answer('ab', `x-a: ${'b'.repeat(17_000)}`)],
] as const)
  test(`an answer that is ${what} fails at once, and closes the connection`, async () => {
    const server = await listen(inTurn((socket) => void socket.write(bytes, 'latin1'), answer('second')));
    const seen = await call(server);
    assert.deepEqual(faultOf(seen), ['sent failed', 'malformed']);
    await closed(server);
    assert.equal((await call(server)).text, 'second');
  });

test('a body whose chunks are none fails behind what was sound of it', async () => {
  const server = await listen(inTurn(`${CHUNKED}3\r\nabc\r\n-3\r\nabc\r\n`));
  const seen = await call(server);
  assert.deepEqual(faultOf(seen), ['sent head body failed', 'malformed']);
  assert.equal(seen.text, 'abc');
  await closed(server);
});

for (const [what, bytes, events] of [
  ['before its answer', '', 'sent failed'],
  ['within a head', 'HTTP/1.1 200 OK\r\ncontent-len', 'sent failed'],
  ['behind an early answer', 'HTTP/1.1 103 Early Hints\r\n\r\n', 'sent failed'],
  ['within a body with a length', `${answer('abc').replace(': 3', ': 5')}`, 'sent head body failed'],
  ['within a chunk', `${CHUNKED}5\r\nabc`, 'sent head body failed'],
  ['between chunks', `${CHUNKED}3\r\nabc\r\n`, 'sent head body failed'],
  ['before the last line of the trailers', `${CHUNKED}3\r\nabc\r\n0\r\n`, 'sent head body failed'],
] as const)
  for (const how of ['closed', 'broken'] as const)
    test(`a connection that is ${how} ${what} is lost`, async () => {
      const server = await listen(
        inTurn(async (socket) => {
          if (bytes) socket.write(bytes);
          // A reset overtakes what the other side has not read.
          if (events.includes('body')) await until('the body to arrive', () => told[0]!.text === 'abc');
          if (how === 'closed') socket.end();
          else socket.resetAndDestroy();
        }, answer('second')),
      );
      const seen = await call(server);
      assert.deepEqual(faultOf(seen), [events, 'lost']);
      assert.equal(seen.error!.code, how === 'closed' ? 'CONNECTION_ENDED' : 'ECONNRESET');
      assert.equal((await call(server)).text, 'second');
    });

test('a body that ends with the connection is lost where the connection is broken', async () => {
  const server = await listen(
    inTurn(async (socket) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\nabc');
      await until('the body to arrive', () => told[0]!.text === 'abc');
      socket.resetAndDestroy();
    }),
  );
  assert.deepEqual(faultOf(await call(server)), ['sent head body failed', 'lost']);
});

test('a connection that is freed in a turn is not used in it, as its server may be about to close it', async () => {
  const server = await listen(forEach((socket) => void socket.write(answer('ab'))));
  const next: Told[] = [];
  await call(server, {}, { end: () => void next.push(send(server)) });
  await until('the next one to be over', () => next[0]?.isOver);
  assert.equal(server.sockets.length, 2);
  await call(server);
  assert.equal(server.sockets.length, 2);
});

test('an exchange that its listener aborts hears nothing more, also where the listener then fails', async () => {
  const server = await listen(forEach((socket) => void socket.write(answer('ab'))));
  const bad = send(
    server,
    {},
    {
      head: () => {
        bad.exchange.abort();
        throws();
      },
    },
  );
  await staysSilent(bad, 'sent head');
  assert.equal((await call(server)).text, 'ab');
});
