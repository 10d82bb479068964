import { serve, settings } from './harness/child-side.ts';
import { quantile } from './harness/median.ts';
import { otlpTemplate } from './ingest/otlp-batch.ts';
import type { SenderSettings, Sending, Sent } from './ingest/sender.ts';
import { closedLoop, openLoop, type Send } from './load/drive.ts';
import { HttpConnection } from './load/http-connection.ts';

/** The sender under overload: one that was told to come again does so on a connection of its own, as it has to. */
const TEMPLATES = 8;
const LAST_ANSWERS_MS = 60_000;

const { collectorUrl, spansPerBatch } = settings<SenderSettings>();
const templates = Array.from({ length: TEMPLATES }, (_, seed) => otlpTemplate(spansPerBatch, seed));

async function send({ connections: count, seconds, perSecond }: Sending): Promise<Sent> {
  const slots = await Promise.all(Array.from({ length: count }, () => HttpConnection.open(collectorUrl)));
  const live = new Map(slots.map((slot) => [slot, slot]));
  const post: Send = async (slot, n) => {
    const body = Buffer.from(templates[n % TEMPLATES]!.next());
    const head = `POST /v1/traces HTTP/1.1\r\nhost: ${new URL(collectorUrl).host}\r\ncontent-type: application/x-protobuf\r\ncontent-length: ${body.length}\r\n\r\n`;
    const answered = await live.get(slot)!.send(Buffer.from(head), body);
    if (answered.status !== 200) {
      live.get(slot)!.close();
      live.set(slot, await HttpConnection.open(collectorUrl));
    }
    return answered;
  };
  const hangUp = () => {
    for (const connection of live.values()) connection.close();
  };
  const deadline = setTimeout(hangUp, seconds * 1000 + LAST_ANSWERS_MS);
  try {
    const driven = await (perSecond === undefined
      ? closedLoop(slots, seconds, post)
      : openLoop(slots, seconds, perSecond, post));
    return {
      spans: driven.answered * spansPerBatch,
      failed: driven.failed,
      seconds: driven.seconds,
      ackP50: quantile(driven.latencies, 0.5),
      ackP99: quantile(driven.latencies, 0.99),
    };
  } finally {
    clearTimeout(deadline);
    hangUp();
  }
}

serve({}, send);
