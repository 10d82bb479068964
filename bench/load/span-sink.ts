import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from '../harness/child-side.ts';

/** A collector that takes every export and keeps nothing but the count of its requests. */
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
