import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from '../harness/child-side.ts';

/**
 * In the place of a collector, or of ClickHouse below one: it takes every request and keeps nothing but their count, or,
 * told to be away, takes none.
 */
let requests = 0;
let isAway = false;
const server = createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    if (!isAway) requests++;
    const status = isAway ? 503 : 200;
    response.writeHead(status, { 'content-type': 'application/x-protobuf', 'content-length': 0 }).end();
  });
});

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  serve({ url: `http://127.0.0.1:${port}` }, (question: { isAway?: boolean }) => {
    isAway = question.isAway ?? isAway;
    return { requests };
  });
});
