import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request that came, and how it was answered: with a status, or not at all. */
export interface Received {
  headers: IncomingHttpHeaders;
  body: string;
  answered: number | 'hang';
}

/** Receives webhooks over real HTTP. `answer` says how to take the n-th request (from 0). */
export async function startReceiver(answer: (n: number) => number | 'hang') {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const answered = answer(received.length);
    received.push({ headers: request.headers, body: Buffer.concat(chunks).toString(), answered });
    if (answered !== 'hang') response.writeHead(answered).end('thanks');
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=t`,
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
