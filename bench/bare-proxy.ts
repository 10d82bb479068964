import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Agent } from 'undici';
import { serve, settings } from './harness/child-side.ts';

/**
 * The least that a proxy in Node can do: take a request whole, send it on by undici, pass the answer on as it
 * comes. It knows no keys, no runs and no spans. What it costs is what Node costs.
 */
const { providerUrl } = settings<{ providerUrl: string }>();
const agent = new Agent();
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding']);

const server = createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    const { host: _, connection: __, 'content-length': ___, ...headers } = request.headers;
    agent.dispatch(
      {
        origin: providerUrl,
        path: request.url ?? '/',
        method: request.method ?? 'GET',
        headers,
        body: Buffer.concat(parts),
      },
      {
        onRequestStart: () => {},
        onResponseStart: (_, status, answered) => {
          const kept = Object.entries(answered).filter(([name]) => !HOP_BY_HOP.has(name));
          response.writeHead(status, Object.fromEntries(kept));
          response.flushHeaders();
        },
        onResponseData: (controller, chunk) => {
          if (response.write(chunk)) return;
          controller.pause();
          response.once('drain', () => controller.resume());
        },
        onResponseEnd: () => void response.end(),
        onResponseError: () => void response.destroy(),
      },
    );
  });
});

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  serve({ url: `http://127.0.0.1:${port}` }, () => ({}));
});
