import { serve, settings } from './harness/child-side.ts';
import { quantile } from './harness/median.ts';
import { type OtlpTemplate, otlpTemplate } from './ingest/otlp-batch.ts';
import { HttpConnection } from './load/http-connection.ts';

/**
 * The sender under overload. It does not wait for answers, counts only what was answered before the time was up, and
 * says what it could not send: a sender that is itself short of time would show a collector at ease. One that was
 * refused goes on over the same connection where it is left open, and else over a new one.
 */
export interface Offering {
  connections: number;
  seconds: number;
  spansPerRequest: number;
  /** Without it each connection sends its next request when it has its answer. */
  requestsPerS?: number;
}

/** Requests, and milliseconds from sending one to the end of its answer. */
export interface Offered {
  seconds: number;
  /** Sent, whatever came of it. */
  sent: number;
  acknowledged: number;
  refused: number;
  /** Due, and no connection was free for them. */
  unsent: number;
  /** Connections that had to be opened again. */
  reconnects: number;
  ackP50: number | null;
  ackP99: number | null;
}

const TEMPLATES = 8;
const { collectorUrl } = settings<{ collectorUrl: string }>();
const { host } = new URL(collectorUrl);
const templatesOf = new Map<number, OtlpTemplate[]>();

function templates(spans: number): OtlpTemplate[] {
  const made =
    templatesOf.get(spans) ?? Array.from({ length: TEMPLATES }, (_, seed) => otlpTemplate(spans, seed));
  templatesOf.set(spans, made);
  return made;
}

async function offer({ connections, seconds, spansPerRequest, requestsPerS }: Offering): Promise<Offered> {
  const bodies = templates(spansPerRequest);
  const head = `POST /v1/traces HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/x-protobuf\r\n`;
  const free = await Promise.all(
    Array.from({ length: connections }, () => HttpConnection.open(collectorUrl)),
  );
  const counts = { sent: 0, acknowledged: 0, refused: 0, reconnects: 0 };
  const latencies: number[] = [];
  const underWay = new Set<Promise<void>>();
  const start = performance.now();
  const until = start + seconds * 1000;
  let isOver = false;

  const request = async (connection: HttpConnection): Promise<void> => {
    const body = bodies[counts.sent++ % TEMPLATES]!.next();
    const sentAt = performance.now();
    let status = 0;
    try {
      // In one piece, and a copy: the socket keeps it until it is sent, and the template is about to change.
      const whole = Buffer.concat([Buffer.from(`${head}content-length: ${body.length}\r\n\r\n`), body]);
      ({ status } = await connection.send(whole));
    } catch {
      // cut off: no answer
    }
    const now = performance.now();
    if (now > until) isOver = true;
    if (!isOver && status === 200) {
      counts.acknowledged++;
      latencies.push(now - sentAt);
    } else if (!isOver) counts.refused++;
    if (isOver) return connection.close();
    if (connection.isOpen) free.push(connection);
    else {
      connection.close();
      counts.reconnects++;
      free.push(await HttpConnection.open(collectorUrl));
    }
  };
  const due = () =>
    requestsPerS === undefined
      ? Number.POSITIVE_INFINITY
      : ((Math.min(performance.now(), until) - start) / 1000) * requestsPerS;
  const dispatch = () => {
    for (let allowed = due(); counts.sent < allowed && free.length > 0 && !isOver; ) {
      const call = request(free.pop()!).then(
        () => {
          underWay.delete(call);
          dispatch();
        },
        () => {
          underWay.delete(call); // the new connection was not taken: there is one fewer
        },
      );
      underWay.add(call);
    }
  };
  while (performance.now() < until) {
    dispatch();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  isOver = true;
  const { sent } = counts;
  for (const connection of free) connection.close();
  await Promise.all(underWay);
  return {
    ...counts,
    seconds,
    sent,
    unsent: requestsPerS === undefined ? 0 : Math.max(0, Math.floor(due()) - sent),
    ackP50: quantile(latencies, 0.5),
    ackP99: quantile(latencies, 0.99),
  };
}

serve({}, offer);
