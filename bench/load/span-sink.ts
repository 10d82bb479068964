import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from '../harness/child-side.ts';

/**
 * In the place of a collector, or of ClickHouse below one: it takes every request and keeps nothing but their count.
 */
let requests = 0;
const server = createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    requests++;
    response.writeHead(200, { 'content-type': 'application/x-protobuf', 'content-length': 0 }).end();
  });
});

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  serve({ url: `http://127.0.0.1:${port}` }, () => ({ requests }));
});
