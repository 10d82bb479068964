import { setTimeout as sleep } from 'node:timers/promises';
import { serve, settings } from '../harness/child-side.ts';
import { HttpConnection } from '../load/http-connection.ts';
import { otlpTemplate } from './otlp-batch.ts';

/**
 * A sender that knows what has to be in ClickHouse without a list: spans have the numbers 1, 2, 3, … as ids, and a
 * request that is refused is sent again, as it was, until it is acknowledged. So what was acknowledged is 1 to the last,
 * but for the requests that still wait for another try.
 */
export interface NumberedSettings {
  collectorUrl: string;
  spansPerRequest: number;
  connections: number;
}

export interface NumberedSending {
  seconds: number;
  /** Requests a second; without it as fast as they are acknowledged. */
  perSecond?: number;
  /** Only what was refused is sent again. */
  nothingNew?: boolean;
}

export interface NumberedSent {
  /** Requests, in this sending. */
  acknowledged: number;
  refused: number;
  /** Without an answer: they may be taken or not. */
  broken: number;
  seconds: number;
  /** Of all sendings: requests that wait for another try, and the number of the last span. */
  waiting: number;
  lastSpan: number;
}

/** Requests with different values, in turn. */
const TEMPLATES = 8;
/** What the collector's Retry-After asks for. */
const RETRY_MS = 1_000;

const { collectorUrl, spansPerRequest, connections } = settings<NumberedSettings>();
const { host } = new URL(collectorUrl);
const templates = Array.from({ length: TEMPLATES }, (_, seed) => otlpTemplate(spansPerRequest, seed));
/** Requests that were not acknowledged, by number. */
const again: number[] = [];
let next = 0;

async function send(sending: NumberedSending): Promise<NumberedSent> {
  const { seconds, perSecond, nothingNew = false } = sending;
  const counts = { acknowledged: 0, refused: 0, broken: 0 };
  const start = performance.now();
  let due = start;
  const isOver = () => performance.now() - start >= seconds * 1000;

  const work = async () => {
    let connection: HttpConnection | undefined;
    while (!isOver()) {
      const request = again.shift() ?? (nothingNew ? undefined : next++);
      if (request === undefined) break;
      if (perSecond !== undefined) {
        due = Math.max(due + 1000 / perSecond, performance.now() - 1000); // a second late at most is made up for
        const early = due - performance.now();
        if (early > 1) await sleep(early);
      }
      connection ??= await HttpConnection.open(collectorUrl).catch(() => undefined);
      const status = await post(connection, request);
      if (status === 200) {
        counts.acknowledged++;
        continue;
      }
      again.push(request);
      // Who is refused before the body was read finds the connection closed.
      connection?.close();
      connection = undefined;
      if (status === undefined) counts.broken++;
      else counts.refused++;
      await sleep(RETRY_MS);
    }
    connection?.close();
  };
  await Promise.all(Array.from({ length: connections }, work));
  return {
    ...counts,
    seconds: (performance.now() - start) / 1000,
    waiting: again.length,
    lastSpan: next * spansPerRequest,
  };
}

/** The status, or `undefined` where none came. */
async function post(connection: HttpConnection | undefined, request: number): Promise<number | undefined> {
  const body = Buffer.from(templates[request % TEMPLATES]!.numbered(1 + request * spansPerRequest));
  const head = `POST /v1/traces HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/x-protobuf\r\ncontent-length: ${body.length}\r\n\r\n`;
  try {
    return (await connection?.send(Buffer.from(head), body))?.status;
  } catch {
    return undefined;
  }
}

serve({}, send);
