import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SpanSink {
  url: string;
  /** Whether it takes nothing. */
  isAway: boolean;
  /** How many it took. */
  requests: number;
}

/**
 * In the place of a collector, or of ClickHouse below one: it takes every request and keeps nothing but their count, or,
 * told to be away, takes none.
 */
export function startSpanSink(): Promise<SpanSink> {
  const sink: SpanSink = { url: '', isAway: false, requests: 0 };
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      if (!sink.isAway) sink.requests++;
      const status = sink.isAway ? 503 : 200;
      response.writeHead(status, { 'content-type': 'application/x-protobuf', 'content-length': 0 }).end();
    });
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      sink.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      resolve(sink);
    });
  });
}
