import { randomUUID } from 'node:crypto';
import { serve, settings } from '../harness/child-side.ts';
import { quantile } from '../harness/median.ts';
import { closedLoop, type Driven, openLoop, type Send } from '../load/drive.ts';
import { HttpConnection } from '../load/http-connection.ts';
import { otlpTemplate } from './otlp-batch.ts';

/** The senders of the collector benchmark: OTLP batches to a collector, or Native blocks to ClickHouse itself. */

export interface SenderSettings {
  collectorUrl: string;
  clickhouseUrl: string;
  spansPerBatch: number;
  rowsPerBlock: number;
  /** The insert's target and where the block is taken from. */
  table: string;
}

export interface Sending {
  /** `block` asks for the Native block to be taken from the rows that are in the table now. */
  what: 'otlp' | 'native' | 'block';
  connections: number;
  seconds: number;
  /** Batches a second; without it as fast as they are acknowledged. */
  perSecond?: number;
}

export interface Sent {
  /** Of spans, all acknowledged. */
  spans: number;
  failed: number;
  seconds: number;
  ackP50: number | null;
  ackP99: number | null;
}

/** Batches with different values, sent in turn. */
const TEMPLATES = 8;
const LAST_ANSWERS_MS = 60_000;

const { collectorUrl, clickhouseUrl, spansPerBatch, rowsPerBlock, table } = settings<SenderSettings>();
const templates = Array.from({ length: TEMPLATES }, (_, seed) => otlpTemplate(spansPerBatch, seed));
let block = Buffer.alloc(0);

const otlp: Send = (connection, n) => {
  const body = templates[n % TEMPLATES]!.next();
  // The socket may keep what it is given until it is sent, and the template is about to change.
  return connection.send(head(collectorUrl, '/v1/traces', 'application/x-protobuf', body), Buffer.from(body));
};

const native: Send = (connection) => {
  // Without a token of its own the block would be known from before, and not be stored.
  const query = new URLSearchParams({
    query: `INSERT INTO ${table} FORMAT Native`,
    async_insert: '0',
    insert_deduplication_token: randomUUID(),
    deduplicate_blocks_in_dependent_materialized_views: '1',
  });
  return connection.send(head(clickhouseUrl, `/?${query}`, 'application/octet-stream', block), block);
};

function head(url: string, path: string, type: string, body: Buffer): Buffer {
  return Buffer.from(
    `POST ${path} HTTP/1.1\r\nhost: ${new URL(url).host}\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n`,
  );
}

async function takeBlock(): Promise<object> {
  const query = `SELECT * FROM ${table} LIMIT ${rowsPerBlock} FORMAT Native SETTINGS max_block_size = ${rowsPerBlock}`;
  const answer = await fetch(clickhouseUrl, { method: 'POST', body: query });
  if (!answer.ok) throw new Error(await answer.text());
  block = Buffer.from(await answer.arrayBuffer());
  return { bytes: block.length };
}

async function send({ what, connections: count, seconds, perSecond }: Sending): Promise<object> {
  if (what === 'block') return takeBlock();
  const url = what === 'otlp' ? collectorUrl : clickhouseUrl;
  const connections = await Promise.all(Array.from({ length: count }, () => HttpConnection.open(url)));
  const hangUp = () => {
    for (const connection of connections) connection.close();
  };
  const deadline = setTimeout(hangUp, seconds * 1000 + LAST_ANSWERS_MS);
  const by = what === 'otlp' ? otlp : native;
  try {
    const driven = await (perSecond === undefined
      ? closedLoop(connections, seconds, by)
      : openLoop(connections, seconds, perSecond, by));
    return sent(driven, what === 'otlp' ? spansPerBatch : rowsPerBlock);
  } finally {
    clearTimeout(deadline);
    hangUp();
  }
}

const sent = ({ answered, failed, seconds, latencies }: Driven, spansEach: number): Sent => ({
  spans: answered * spansEach,
  failed,
  seconds,
  ackP50: quantile(latencies, 0.5),
  ackP99: quantile(latencies, 0.99),
});

serve({}, send);
