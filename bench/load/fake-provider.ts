import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';

const HEAD_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('0\r\n\r\n');
const STREAM = Buffer.from('"stream":true');

const completion = JSON.stringify({
  id: 'chatcmpl-bench',
  object: 'chat.completion',
  created: 1_700_000_000,
  model: 'gpt-4o-2024-08-06',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: 'The change is small and its tests pass. '.repeat(10) },
      finish_reason: 'stop',
    },
  ],
  usage: { prompt_tokens: 212, completion_tokens: 90, total_tokens: 302 },
});
const answer = Buffer.from(
  `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(completion)}\r\n\r\n${completion}`,
);
const streamHead = Buffer.from(
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n',
);
const delta = framed(
  `data: ${JSON.stringify({
    id: 'chatcmpl-bench',
    object: 'chat.completion.chunk',
    created: 1_700_000_000,
    model: 'gpt-4o-2024-08-06',
    choices: [{ index: 0, delta: { content: ' word' }, finish_reason: null }],
  })}\n\n`,
);
const streamEnd = Buffer.concat([framed('data: [DONE]\n\n'), LAST_CHUNK]);

function framed(text: string): Buffer {
  return Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
}

/** Server-sent events of a stream, the first at once and the others so far apart. */
export interface StreamPlan {
  chunks: number;
  chunkMs: number;
}

/**
 * A provider that costs next to nothing, so that the core it shares with the load generator is not what is
 * measured: it reads a request to its end and writes an answer that is ready as bytes. With `"stream":true` in the
 * body it answers as planned. Gives its URL.
 */
export function startFakeProvider(plan: StreamPlan): Promise<string> {
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    let pending: Buffer = Buffer.alloc(0);
    socket.on('data', (data) => {
      pending = pending.length === 0 ? data : Buffer.concat([pending, data]);
      for (let end = requestEnd(pending); end > 0; end = requestEnd(pending)) {
        const request = pending.subarray(0, end);
        pending = pending.subarray(end);
        if (request.includes(STREAM)) stream(socket, plan);
        else socket.write(answer);
      }
    });
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () =>
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    );
  });
}

/** Where the first request ends; 0 when more has to come. */
function requestEnd(bytes: Buffer): number {
  const headEnd = bytes.indexOf(HEAD_END);
  if (headEnd < 0) return 0;
  const head = bytes.toString('latin1', 0, headEnd + 2);
  const bodyAt = headEnd + HEAD_END.length;
  if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
    const last = bytes.indexOf(LAST_CHUNK, bodyAt);
    return last < 0 ? 0 : last + LAST_CHUNK.length;
  }
  const end = bodyAt + Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
  return bytes.length < end ? 0 : end;
}

function stream(socket: Socket, { chunks, chunkMs }: StreamPlan): void {
  socket.write(Buffer.concat([streamHead, delta]));
  let left = chunks - 1;
  const timer = setInterval(() => {
    if (socket.destroyed) return clearInterval(timer);
    if (left-- > 0) return void socket.write(delta);
    clearInterval(timer);
    socket.write(streamEnd);
  }, chunkMs);
}
