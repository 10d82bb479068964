import assert from 'node:assert/strict';
import { Agent, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { ConnectionError } from '../../src/gateway/connections/exchange.ts';
import { type ResponseEvents, ResponseReader } from '../../src/gateway/connections/response-reader.ts';

/** An answer as it is sent, and what of it is to be read. */
interface Answer {
  method: string;
  bytes: Buffer;
  head: { status: number; statusText: string; headers: string[] };
  body: Buffer;
  /** Only the end of the connection ends it. */
  untilClose: boolean;
}

const latin1 = (chars: string, minLength: number, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...chars), minLength, maxLength });
const reason = latin1('abcOK 12-:\xe9\xff', 0, 12);
/** Up to the lengths of those that mean something. */
const name = latin1('abcXYZ019-_!~', 1, 17).map((rest) => `x${rest}`);
const value = latin1('abcXYZ019 ;:=,"\xe9\xff', 0, 20).map((text) => text.trim());
const blank = fc.constantFrom('', ' ', '\t', '  ');
const header = fc.record({ name, value, before: blank, behind: blank });
type Header = typeof header extends fc.Arbitrary<infer T> ? T : never;
const lineOf = (h: Header) => `${h.name}:${h.before}${h.value}${h.behind}\r\n`;
const headers = fc.array(header, { maxLength: 5 });

/** How a chunk is framed. */
const frame = (extensions: string[]) =>
  fc.record({
    bytes: fc.integer({ min: 1, max: 90 }),
    extension: fc.constantFrom('', '', '', ...extensions),
    isUpperCase: fc.boolean(),
    zeros: fc.constantFrom('', '', '', '0', '000'),
  });
type Frame = ReturnType<typeof frame> extends fc.Arbitrary<infer T> ? T : never;

const sizeLine = (bytes: number, { isUpperCase, zeros, extension }: Omit<Frame, 'bytes'>) => {
  const hex = zeros + bytes.toString(16);
  return Buffer.from(`${isUpperCase ? hex.toUpperCase() : hex}${extension}\r\n`, 'latin1');
};

/** Chunks as `frames` has them, as often as it takes. */
function chunked(body: Buffer, frames: Frame[], trailers: Header[]): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0, i = 0; at < body.length; i++) {
    const framed = frames[i % frames.length]!;
    const data = body.subarray(at, at + framed.bytes);
    at += data.length;
    parts.push(sizeLine(data.length, framed), data, Buffer.from('\r\n'));
  }
  const end = `${trailers.map(lineOf).join('')}\r\n`;
  return Buffer.concat([...parts, sizeLine(0, frames[0]!), Buffer.from(end, 'latin1')]);
}

const answerWith = (extensions: string[]) =>
  fc
    .record({
      early: fc.array(fc.record({ status: fc.constantFrom(100, 102, 103), reason, headers }), {
        maxLength: 2,
      }),
      status: fc.constantFrom(200, 200, 200, 201, 404, 429, 503, 204, 304),
      method: fc.constantFrom('GET', 'GET', 'GET', 'POST', 'HEAD'),
      reason,
      headers,
      framingAt: fc.nat(),
      framing: fc.constantFrom('length', 'chunked', 'close'),
      body: fc.uint8Array({ maxLength: 300, size: 'max' }).map((bytes) => Buffer.from(bytes)),
      frames: fc.array(frame(extensions), { minLength: 1, maxLength: 4 }),
      trailers: fc.array(header, { maxLength: 2 }),
    })
    .map(({ early, status, method, framing, body, ...rest }): Answer => {
      const isBodiless = method === 'HEAD' || status === 204 || status === 304;
      const own: Record<string, Header> = {
        length: { name: 'Content-Length', value: `${body.length}`, before: ' ', behind: '' },
        chunked: { name: 'Transfer-Encoding', value: 'chunked', before: ' ', behind: '' },
      };
      const all = [...rest.headers];
      if (own[framing]) all.splice(rest.framingAt % (all.length + 1), 0, own[framing]);
      const headOf = (of: number, text: string, lines: Header[]) =>
        Buffer.from(`HTTP/1.1 ${of} ${text}\r\n${lines.map(lineOf).join('')}\r\n`, 'latin1');
      const sent = framing === 'chunked' ? chunked(body, rest.frames, rest.trailers) : body;
      return {
        method,
        bytes: Buffer.concat([
          ...early.map((e) => headOf(e.status, e.reason, e.headers)),
          headOf(status, rest.reason, all),
          isBodiless ? Buffer.alloc(0) : sent,
        ]),
        head: { status, statusText: rest.reason, headers: all.flatMap((h) => [h.name, h.value]) },
        body: isBodiless ? Buffer.alloc(0) : body,
        untilClose: framing === 'close' && !isBodiless,
      };
    });

/** As RFC 9112 has them, with blanks that it asks readers to bear. */
const answer = answerWith([';a', ';a=b;c', ';q="x; y"', ' ;a', '\t; a=b', ';', ';\xe9']);
/** Node bears no blanks there. */
const answerForNode = answerWith([';a', ';a=b;c', ';q="xy"']);
const cuts = fc.array(fc.nat(), { maxLength: 40, size: 'max' });

const cut = (bytes: Buffer, at: number[]): Buffer[] => {
  const ends = [...new Set(at.map((c) => c % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...ends].map((from, i) => bytes.subarray(from, ends[i])).filter(({ length }) => length > 0);
};
const byteByByte = (bytes: Buffer): Buffer[] => Array.from(bytes, (byte) => Buffer.from([byte]));

/** What a reader told. */
class Told implements ResponseEvents {
  events: string[] = [];
  heads: Answer['head'][] = [];
  chunks: Buffer[] = [];
  isLast: boolean | undefined;

  head({ status, statusText, headers }: Answer['head']): void {
    this.events.push('head');
    this.heads.push({ status, statusText, headers });
  }

  body(chunk: Buffer): void {
    this.events.push('body');
    this.chunks.push(chunk);
  }

  end(isLast: boolean): void {
    this.events.push('end');
    this.isLast = isLast;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  clear(): void {
    Object.assign(this, new Told());
  }
}

/** Pieces are given as a connection does: each is the reader's own. */
const feed = (reader: ResponseReader, pieces: Buffer[]) => {
  for (const piece of pieces) reader.read(Buffer.from(piece));
};

function assertRead(
  told: Told,
  { head, body, untilClose }: Answer,
  pieces: Buffer[],
  reader: ResponseReader,
) {
  assert.deepEqual(told.heads, [head]);
  assert.equal(told.events.includes('end'), !untilClose, 'whole before it is closed');
  assert.equal(reader.close(), untilClose);
  assert.match(told.events.join(' '), /^head( body)* end$/);
  assert.equal(told.isLast, untilClose);
  assert.deepEqual(told.bytes, body);
  assert.ok(told.chunks.length <= pieces.length, 'a read brings one chunk at most');
  assert.ok(told.chunks.every(({ length }) => length > 0));
}

test('answers are read as they were meant, one after the other, however they are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(answer, cuts), { minLength: 1, maxLength: 4 }), (answers) => {
      for (const cutting of [cut, (bytes: Buffer) => [bytes], byteByByte]) {
        const told = new Told();
        const reader = new ResponseReader(told);
        for (const [sent, at] of answers) {
          told.clear();
          reader.expect(sent.method);
          const pieces = cutting(sent.bytes, at);
          feed(reader, pieces);
          assertRead(told, sent, pieces, reader);
        }
      }
    }),
    { numRuns: 400 },
  );
});

test('bytes behind an answer are told of and change nothing of it', () => {
  const behind = fc.uint8Array({ minLength: 1, maxLength: 20 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(
      answer.filter(({ untilClose }) => !untilClose),
      fc.oneof(
        behind,
        answer.map(({ bytes }) => bytes),
      ),
      cuts,
      (sent, more, at) => {
        const told = new Told();
        const reader = new ResponseReader(told);
        reader.expect(sent.method);
        // Up to the end in any pieces, but with the last of them comes more.
        const pieces = cut(sent.bytes, at);
        pieces.push(Buffer.concat([pieces.pop()!, more]));
        feed(reader, pieces);
        assert.deepEqual([told.heads, told.bytes, told.isLast], [[sent.head], sent.body, true]);
        const before = told.events.length;
        feed(reader, [more]); // nobody asked
        assert.equal(told.events.length, before);
      },
    ),
    { numRuns: 200 },
  );
});

/** Writes what the next connection asks for: for each request on it, the pieces of an answer. */
let server: Server;
let script: { pieces: Buffer[]; isClosed: boolean }[] = [];

before(async () => {
  server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {}); // the other side refuses what it reads, and leaves
    socket.on('data', async () => {
      const { pieces, isClosed } = script.shift()!;
      for (const piece of pieces) {
        socket.write(piece);
        await new Promise(setImmediate); // so that it is read for itself
      }
      if (isClosed) socket.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
after(() => new Promise((resolve) => server.close(resolve)));

/** What Node's client makes of an answer. */
async function asNodeReads(method: string, agent: Agent): Promise<Pick<Answer, 'head' | 'body'>> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const { port } = server.address() as AddressInfo;
  request({ host: '127.0.0.1', port, method, agent }, resolve).on('error', reject).end();
  const message = await promise;
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  const { statusCode, statusMessage, rawHeaders } = message;
  return {
    head: { status: statusCode!, statusText: statusMessage!, headers: rawHeaders },
    body: Buffer.concat(chunks),
  };
}

test("answers are read as Node's own client reads them from a socket", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(answerForNode, fc.array(fc.nat(), { maxLength: 6 })), { minLength: 1, maxLength: 3 }),
      async (answers) => {
        const agent = new Agent({ keepAlive: true, maxSockets: 1 });
        try {
          script = answers.map(([{ bytes, untilClose }, at]) => ({
            pieces: cut(bytes, at),
            isClosed: untilClose,
          }));
          const told = new Told();
          const reader = new ResponseReader(told);
          for (const [sent, at] of answers) {
            told.clear();
            reader.expect(sent.method);
            feed(reader, cut(sent.bytes, at));
            reader.close();
            const node = await asNodeReads(sent.method, agent);
            assert.deepEqual({ head: told.heads[0], body: told.bytes }, node);
          }
        } finally {
          agent.destroy();
        }
      },
    ),
    { numRuns: 200 },
  );
});

/** A change to bytes: what is at a place is overwritten, left out, said twice, or has something put before it. */
const mutation = fc.record({
  kind: fc.constantFrom('set', 'remove', 'repeat', 'insert'),
  at: fc.nat(),
  bytes: fc.integer({ min: 1, max: 8 }),
  what: fc.oneof(
    fc.constantFrom(...['\r', '\n', '\r\n', '\r\n\r\n', ' ', ':', '0', 'f', ';', '-', '\0', '\xff']),
    fc.constantFrom('0\r\n\r\n', 'ffffffffffffff', 'HTTP/1.1 200 OK\r\n', 'content-length: 3\r\n'),
    latin1('\x01\x7f\x80abc019', 1, 4),
  ),
});
type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

function mutated(bytes: Buffer, mutations: Mutation[]): Buffer {
  let text = bytes.toString('latin1');
  for (const { kind, at, bytes: count, what } of mutations) {
    const from = at % (text.length + 1);
    const [before, here, behind] = [
      text.slice(0, from),
      text.slice(from, from + count),
      text.slice(from + count),
    ];
    const now = { set: what, remove: '', repeat: here + here, insert: what + here }[kind];
    text = before + now + behind;
  }
  return Buffer.from(text, 'latin1');
}
const mutations = fc.array(mutation, { minLength: 1, maxLength: 4 });

/** Reads to the end of the bytes or to where they are refused, as a connection does. */
function outcome(method: string, pieces: Buffer[]) {
  const told = new Told();
  const reader = new ResponseReader(told);
  reader.expect(method);
  let refused: ConnectionError | undefined;
  try {
    feed(reader, pieces);
  } catch (error) {
    assert.ok(error instanceof ConnectionError, `${error}`);
    refused = error;
  }
  assert.equal(refused?.fault ?? 'malformed', 'malformed');
  assert.match(told.events.join(' '), /^(head( body)*( end)?)?$/);
  const sofar = [...told.events];
  const isEnded = refused === undefined && reader.close();
  assert.deepEqual(told.events, isEnded ? [...sofar, 'end'] : sofar);
  assert.ok(!(refused && told.events.includes('end')), 'whole and refused');
  const fed = pieces.reduce((sum, { length }) => sum + length, 0);
  assert.ok(told.bytes.length <= fed, 'more body than bytes');
  return {
    heads: told.heads,
    body: told.bytes,
    isWhole: told.events.includes('end'),
    isRefused: refused !== undefined,
  };
}

test('whatever becomes of its bytes, an answer is refused or told in order, and the same however it is cut', () => {
  const seen = { refused: 0, whole: 0, pending: 0 };
  fc.assert(
    fc.property(answer, mutations, cuts, ({ method, bytes }, changes, at) => {
      const sent = mutated(bytes, changes);
      const whole = outcome(method, sent.length > 0 ? [sent] : []);
      assert.deepEqual(outcome(method, cut(sent, at)), whole);
      assert.deepEqual(outcome(method, byteByByte(sent)), whole);
      seen[whole.isRefused ? 'refused' : whole.isWhole ? 'whole' : 'pending']++;
    }),
    { numRuns: 5_000 },
  );
  // Else the mutations would be all of one kind, and the test would say little.
  for (const count of Object.values(seen)) assert.ok(count > 100, JSON.stringify(seen));
});

test('bytes of no meaning are refused at once, or are no answer yet', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), cuts, (garbage, at) => {
      const bytes = Buffer.from(garbage);
      const isBeginning = bytes.subarray(0, 7).equals(Buffer.from('HTTP/1.').subarray(0, bytes.length));
      const { heads, isRefused } = outcome('GET', cut(bytes, at));
      assert.deepEqual([heads, isRefused], [[], !isBeginning]);
    }),
    { numRuns: 500 },
  );
});

test('a head of more than 16 KB is refused, of as much is read, wherever it is cut', () => {
  const start = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-a: ';
  const sized = (bytes: number) => Buffer.from(`${start}${'b'.repeat(bytes - start.length)}\r\n\r\n`);
  fc.assert(
    fc.property(fc.integer({ min: -8, max: 8 }), fc.integer({ min: 0, max: 20 }), (more, fromEnd) => {
      const bytes = sized(16 * 1024 + more);
      const { isRefused } = outcome('GET', cut(bytes, [bytes.length - fromEnd]));
      assert.equal(isRefused, more > 0);
    }),
    { numRuns: 300 },
  );
});

test('chunks whose frames another reader could understand in another way are refused', () => {
  const head = Buffer.from('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
  for (const frames of [
    ...[
      '\r\n',
      'g\r\n',
      '-3\r\nabc',
      '+3\r\nabc',
      '0x3\r\nabc',
      ' 3\r\nabc',
      '3g\r\nabc',
      ';a\r\n',
      '\xb3\r\n',
    ],
    ...['3 7\r\nabc', '3 a\r\nabc', '3;\x01\r\nabc', '0\r\nx: \x01\r\n'],
    ...['3\nabc', '3\rabc', '3\r\rabc', '3;a\nb\r\nabc', '3;a\rb\r\nabc'],
    ...['3\r\nabcd\r\n', '3\r\nabc\n', '3\r\nabc\r0', '3\r\nabc0\r\n', '3\r\nabc\r\n\r\n', '3\r\nabcx\n'],
    ...['0\r\n\n', '0\r\n\rx', '0\r\nx: y\n\r\n', '0\r\nx: y\rz', '0\r\nx: y\r\n\n', '0\n\n', '0\r0'],
    ...['00000000000003\r\nabc', '10000000000000003\r\nabc', `${'f'.repeat(40)}\r\nabc`],
  ])
    for (const pieces of [[`${head}${frames}`], [`${head}`, ...frames]]) {
      const bytes = pieces.map((piece) => Buffer.from(piece, 'latin1'));
      assert.equal(outcome('GET', bytes).isRefused, true, JSON.stringify(frames));
    }
});

test('trailers and chunk extensions without end are refused', () => {
  const head = Buffer.from('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
  for (const endless of ['0\r\nx-a: ', '0\r\nx-a: b\r\nx-c: ', '1;', '1\r\na\r\n2;a="'])
    for (const piece of [100, 20_000]) {
      const pieces = Array.from({ length: Math.ceil(20_000 / piece) }, () => Buffer.alloc(piece, 'y'));
      assert.equal(outcome('GET', [head, Buffer.from(endless), ...pieces]).isRefused, true, endless);
    }
  // Of a long stream each chunk may have a small one.
  const small = Array.from({ length: 20_000 }, () => Buffer.from('1;y\r\na\r\n'));
  assert.equal(outcome('GET', [head, ...small]).isRefused, false);
});

/** Stops the reader when it is told of `event`; what it tells after that is in `late`. */
function stoppedWithin(event: 'head' | 'body', method: string) {
  const late: string[] = [];
  let isStopped = false;
  const hear = (what: string) => {
    if (isStopped) late.push(what);
    if (what !== event || isStopped) return;
    isStopped = true;
    reader.stop();
  };
  const reader: ResponseReader = new ResponseReader({
    head: () => hear('head'),
    body: () => hear('body'),
    end: () => hear('end'),
  });
  reader.expect(method);
  return { reader, late };
}

test('a reader that is stopped while it tells something tells nothing further', () => {
  fc.assert(
    fc.property(fc.constantFrom('head', 'body'), answer, cuts, (event, { method, bytes }, at) => {
      for (const pieces of [[bytes], cut(bytes, at), [Buffer.concat([bytes, bytes])]]) {
        const { reader, late } = stoppedWithin(event, method);
        feed(reader, pieces);
        // Where there was no body there was nothing to stop in.
        assert.deepEqual(late, []);
      }
    }),
    { numRuns: 300 },
  );
  // That there is more to tell.
  for (const event of ['head', 'body'] as const) {
    const { reader, late } = stoppedWithin(event, 'GET');
    feed(reader, [Buffer.from('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc')]);
    feed(reader, [Buffer.from('def')]);
    assert.deepEqual([reader.close(), late], [false, []]);
  }
});

test('a reader that is stopped does not refuse what comes behind, as nobody waits for it any more', () => {
  const bad = Buffer.from('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nno size');
  for (const event of ['head', 'body'] as const) {
    const { reader, late } = stoppedWithin(event, 'GET');
    feed(reader, [bad]);
    assert.deepEqual(late, []);
  }
});
