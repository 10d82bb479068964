import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How a request is answered: with a status, not at all, by breaking the connection, or with more than a status. */
export type Answer =
  | number
  | 'hang'
  | 'reset'
  | { status: number; headers?: Record<string, string>; body?: string };

/** A request that came, and how it was answered. */
export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  answered: Answer;
}

/** Receives webhooks over real HTTP. `answer` says how to take the n-th request (from 0) with its body. */
export async function startReceiver(answer: (n: number, body: string) => Answer) {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const answered = answer(received.length, body);
    const { headers, url: path = '' } = request;
    received.push({ path, headers, body, answered });
    if (answered === 'hang') return;
    if (answered === 'reset') {
      request.socket.resetAndDestroy();
      return;
    }
    const {
      status,
      headers: more = {},
      body: said = 'ok',
    } = typeof answered === 'number' ? { status: answered } : answered;
    response.writeHead(status, more).end(said);
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    url: `${origin}/hook?token=t`,
    received,
    taken: () => received.filter((r) => typeof r.answered === 'number' && r.answered < 300),
    close: () => {
      server.closeAllConnections();
      return new Promise<void>((done) => server.close(() => done()));
    },
  };
}

/** Whether the request was signed with `secret`. */
export function isSigned({ headers, body }: Received, secret: string): boolean {
  const mac = createHmac('sha256', secret)
    .update(`${headers['x-loopscope-timestamp']}.${body}`)
    .digest('hex');
  return headers['x-loopscope-signature'] === `v1=${mac}`;
}
