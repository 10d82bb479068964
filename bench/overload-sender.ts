import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { usage } from './harness/child.ts';
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
  /** Compressed, as the senders that send most do: what many requests cost to send is little then. */
  isPacked?: boolean;
  /** Without it each connection sends its next request when it has its answer. */
  requestsPerS?: number;
}

/** Counted after a while in which queues fill. Requests, and milliseconds from sending one to the end of its answer. */
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
  /** Of the collector's processor; `null` where the system does not say. */
  cpuS: number | null;
  ackP50: number | null;
  ackP99: number | null;
}

const TEMPLATES = 8;
/** Longer than a request may wait. */
const LEAD_IN_S = 1.5;
const { collectorUrl, collectorPid } = settings<{ collectorUrl: string; collectorPid: number }>();
const { host } = new URL(collectorUrl);
const templatesOf = new Map<number, OtlpTemplate[]>();

function templates(spans: number): OtlpTemplate[] {
  const made =
    templatesOf.get(spans) ?? Array.from({ length: TEMPLATES }, (_, seed) => otlpTemplate(spans, seed));
  templatesOf.set(spans, made);
  return made;
}

/**
 * A packed request once; one that the collector has not seen is that and another member with an unknown field. The
 * spans in it are the same ones again, which nothing but the store can know.
 */
const packedOf = new Map<number, Buffer[]>();

function packed(spans: number): Buffer[] {
  const made = packedOf.get(spans) ?? templates(spans).map((template) => gzipSync(template.next()));
  packedOf.set(spans, made);
  return made;
}

const UNKNOWN_FIELD = Buffer.from([0x7a, 16]);
const unseen = (body: Buffer) =>
  Buffer.concat([body, gzipSync(Buffer.concat([UNKNOWN_FIELD, randomBytes(16)]))]);

async function offer({
  connections,
  seconds,
  spansPerRequest,
  isPacked,
  requestsPerS,
}: Offering): Promise<Offered> {
  const nextBody = isPacked
    ? (n: number) => unseen(packed(spansPerRequest)[n % TEMPLATES]!)
    : (n: number) => templates(spansPerRequest)[n % TEMPLATES]!.next();
  nextBody(0); // made now, and not when time is measured
  const head = `POST /v1/traces HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/x-protobuf\r\n${isPacked ? 'content-encoding: gzip\r\n' : ''}`;
  const free = await Promise.all(
    Array.from({ length: connections }, () => HttpConnection.open(collectorUrl)),
  );
  let n = 0;
  let counts = { sent: 0, acknowledged: 0, refused: 0, reconnects: 0 };
  let latencies: number[] = [];
  const underWay = new Set<Promise<void>>();
  const start = performance.now();
  const from = start + LEAD_IN_S * 1000;
  const until = from + seconds * 1000;
  let isOver = false;

  const request = async (connection: HttpConnection): Promise<void> => {
    const body = nextBody(n++);
    counts.sent++;
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
    for (let allowed = due(); n < allowed && free.length > 0 && !isOver; ) {
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
  const keepOn = async (endMs: number) => {
    while (performance.now() < endMs) {
      dispatch();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  await keepOn(from);
  counts = { sent: 0, acknowledged: 0, refused: 0, reconnects: 0 };
  latencies = [];
  const cpuBefore = usage(collectorPid).cpuS;
  await keepOn(until);
  isOver = true;
  const cpuAfter = usage(collectorPid).cpuS;
  const result = {
    ...counts,
    seconds,
    unsent: requestsPerS === undefined ? 0 : Math.max(0, Math.floor(due()) - n),
    cpuS: cpuBefore === null || cpuAfter === null ? null : cpuAfter - cpuBefore,
    ackP50: quantile(latencies, 0.5),
    ackP99: quantile(latencies, 0.99),
  };
  for (const connection of free) connection.close();
  await Promise.all(underWay);
  return result;
}

serve({}, offer);
