import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What arrives on the pager: the webhook's body, and whether its signature is ours. */
export interface Page {
  signed: boolean;
  body: { loop: string; kind: string; state: string; text: string };
}

/** Stands for the on-call engineer's pager: a webhook receiver that checks the signature and hands the page on. */
export async function startPager(secret: string, onPage: (page: Page) => void) {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const timestamp = String(request.headers['x-loopscope-timestamp'] ?? '');
    const expected = `v1=${createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex')}`;
    const given = String(request.headers['x-loopscope-signature'] ?? '');
    const signed =
      given.length === expected.length && timingSafeEqual(Buffer.from(given), Buffer.from(expected));
    response.writeHead(signed ? 204 : 401).end();
    onPage({ signed, body: JSON.parse(body) as Page['body'] });
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/page`,
    close: () => new Promise<void>((done) => server.close(() => done())),
  };
}
