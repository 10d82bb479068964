import { quantile } from '../harness/median.ts';
import { atOnce, closedLoop, type Driven, openLoop } from './drive.ts';
import { HttpConnection } from './http-connection.ts';

/** The caller of the gateway benchmark: chat completions, each with the headers a loop sends. */

/** What the generator is asked for. */
export interface Load {
  url: string;
  path: string;
  headers: Record<string, string>;
  connections: number;
  seconds: number;
  /** Requests a second; without it each connection sends as fast as it is answered. */
  perSecond?: number;
  stream?: boolean;
}

/** What it answers. Latencies in milliseconds. */
export interface LoadResult {
  rps: number;
  answered: number;
  failed: number;
  p50: number | null;
  p99: number | null;
  ttftP50: number | null;
  ttftP99: number | null;
}

/** Runs that the calls belong to in turn. */
const RUNS = 200;
/** After the load is over: a server that answers later than this has failed. */
const LAST_ANSWERS_MS = 30_000;

/** Puts a load on a server. */
export async function put(load: Load): Promise<LoadResult> {
  const requests = Array.from({ length: RUNS }, (_, run) => requestBytes(load, run));
  const connections = await Promise.all(
    Array.from({ length: load.connections }, () => HttpConnection.open(load.url)),
  );
  const send = (connection: HttpConnection, n: number) => connection.send(requests[n % RUNS]!);
  const hangUp = () => {
    for (const connection of connections) connection.close();
  };
  const deadline = setTimeout(hangUp, load.seconds * 1000 + LAST_ANSWERS_MS);
  try {
    const driven = await (load.perSecond === undefined
      ? closedLoop(connections, load.seconds, send)
      : openLoop(connections, load.seconds, load.perSecond, send, atOnce));
    return result(driven);
  } finally {
    clearTimeout(deadline);
    hangUp();
  }
}

function requestBytes({ url, path, headers, stream }: Load, run: number): Buffer {
  const body = JSON.stringify({
    model: 'gpt-4o',
    messages: [
      { role: 'system', content: 'You maintain a repository. Answer briefly. '.repeat(8) },
      { role: 'user', content: `Change ${run}: ${'say whether the tests cover what it does. '.repeat(12)}` },
    ],
    temperature: 0,
    stream: stream ?? false,
  });
  const all: Record<string, string> = {
    host: new URL(url).host,
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    'x-loop-run': `run-${run}`,
    'x-loop-agent': 'maker',
    ...headers,
  };
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`POST ${path} HTTP/1.1\r\n${head.join('')}\r\n${body}`);
}

const result = ({ answered, failed, seconds, latencies, firstBytes }: Driven): LoadResult => ({
  rps: answered / seconds,
  answered,
  failed,
  p50: quantile(latencies, 0.5),
  p99: quantile(latencies, 0.99),
  ttftP50: quantile(firstBytes, 0.5),
  ttftP99: quantile(firstBytes, 0.99),
});
