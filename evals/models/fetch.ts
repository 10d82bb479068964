import { request } from 'undici';

/**
 * A document from the net, whole or not at all: within a size and a time, with no redirect followed, so that a key goes
 * nowhere but where the settings send it.
 */
export type Fetched = { outcome: 'read'; text: string } | { outcome: 'failed'; reason: string };

const FETCH_MS_MAX = 30_000;

/** `reason` of a failure: `status_404`, `too_large`, `timeout`, or the code of the socket's error. */
export async function fetchText(
  url: string,
  {
    headers = {},
    bytesMax,
    signal,
  }: { headers?: Readonly<Record<string, string>>; bytesMax: number; signal: AbortSignal },
): Promise<Fetched> {
  try {
    const { statusCode, body } = await request(url, {
      headers: { accept: 'application/json', 'user-agent': 'loopscope', ...headers },
      signal: AbortSignal.any([signal, AbortSignal.timeout(FETCH_MS_MAX)]),
    });
    if (statusCode !== 200) {
      await body.dump().catch(() => {});
      return { outcome: 'failed', reason: `status_${statusCode}` };
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > bytesMax) return { outcome: 'failed', reason: 'too_large' }; // leaving the loop ends the answer
      chunks.push(chunk);
    }
    return { outcome: 'read', text: Buffer.concat(chunks).toString('utf8') };
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    return { outcome: 'failed', reason: name === 'TimeoutError' ? 'timeout' : (code ?? name) };
  }
}
