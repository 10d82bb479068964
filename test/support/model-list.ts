import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ListRequest {
  url: string;
  headers: IncomingHttpHeaders;
}

/** What the server answers a request with. */
export interface ListAnswer {
  status?: number;
  headers?: Record<string, string>;
  body: unknown;
}

/** Stands for a provider that lists its models, or for whoever serves a calendar, over real HTTP. */
export async function startModelList(answer: (url: URL, n: number) => ListAnswer) {
  const requests: ListRequest[] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url!, 'http://127.0.0.1');
    const { status = 200, headers = {}, body } = answer(url, requests.length);
    requests.push({ url: request.url!, headers: request.headers });
    response
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () => {
      server.closeAllConnections();
      return new Promise<void>((done) => server.close(() => done()));
    },
  };
}
