import assert from 'node:assert/strict';
import { createServer, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { CallerResponse } from '../../src/gateway/caller-response.ts';

/** Answers on their way to real callers. */

const server = createServer((_, response) => answer(response));
let answer: (response: ServerResponse) => void;
let port: number;

before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
after(() => {
  server.close();
  server.closeAllConnections();
});

const STREAM = ['content-type', 'text/event-stream'];
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Sends the chunks of a stream, each in a turn of its own or all in one. */
const sends = (chunks: readonly Buffer[], isApart: boolean) => async (response: ServerResponse) => {
  const caller = new CallerResponse(response, () => {});
  caller.start(200, 'OK', STREAM, true);
  for (const chunk of chunks) {
    if (isApart) await turn();
    caller.write(chunk);
  }
  caller.release(true);
};

const get = (agent: false | undefined = false) =>
  new Promise<Buffer>((resolve, reject) => {
    request({ host: '127.0.0.1', port, agent }, (response) => resolve(buffer(response)))
      .on('error', reject)
      .end();
  });

for (const isApart of [true, false]) {
  const how = isApart ? 'in turns of their own' : 'at once';
  test(`chunks that come ${how} arrive as they are, of whatever size, and an empty one ends nothing`, async () => {
    const chunks = [1, 0, 15, 16, 0, 255, 256, 70_000, 0, 3].map((size, i) => Buffer.alloc(size, 97 + i));
    answer = sends(chunks, isApart);
    for (let i = 0; i < 3; i++) assert.deepEqual(await get(), Buffer.concat(chunks));
  });

  test(`to a caller who knows no chunks, those that come ${how} go out bare`, async () => {
    answer = sends([Buffer.from('ab'), Buffer.from('cd')], isApart);
    const socket = connect(port, '127.0.0.1');
    socket.write('GET / HTTP/1.0\r\n\r\n');
    assert.match(await text(socket), /\r\n\r\nabcd$/);
  });

  test(`answers to requests that were sent together, whose chunks come ${how}, arrive in order`, async () => {
    let n = 0;
    answer = (response) => void sends([Buffer.from(`a${n}`), Buffer.from(`b${n++}`)], isApart)(response);
    const socket = connect(port, '127.0.0.1');
    const get = 'GET / HTTP/1.1\r\nhost: x\r\n';
    socket.write(`${get}\r\n${get}\r\n${get}connection: close\r\n\r\n`);
    const bodies = (await text(socket)).split(/HTTP\/1.1 200 OK[\s\S]*?\r\n\r\n/).slice(1);
    assert.deepEqual(
      bodies,
      [0, 1, 2].map((i) => `2\r\na${i}\r\n2\r\nb${i}\r\n0\r\n\r\n`),
    );
  });
}

test('a caller who does not read is waited for, and told when it does', async () => {
  const [stopped, drained] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const chunk = Buffer.alloc(64 * 1024, 'x');
  let written = 0;
  answer = async (response) => {
    const caller = new CallerResponse(response, drained.resolve);
    caller.start(200, 'OK', STREAM, true);
    do {
      await turn();
      written += chunk.length;
    } while (caller.write(chunk));
    stopped.resolve();
    await drained.promise;
    caller.release(true);
  };
  const body = await new Promise<Buffer>((resolve, reject) => {
    request({ host: '127.0.0.1', port, agent: false }, async (response) => {
      await stopped.promise;
      resolve(buffer(response));
    })
      .on('error', reject)
      .end();
  });
  assert.equal(body.length, written);
});
