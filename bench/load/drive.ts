import type { Answered, HttpConnection } from './http-connection.ts';

/** How load is put on a server: as fast as its answers come, or at a rate that does not wait for them. */

/** Sends the `n`th request over a connection. */
export type Send = (connection: HttpConnection, n: number) => Promise<Answered>;

export interface Driven {
  /** Answers with status 200. */
  answered: number;
  failed: number;
  seconds: number;
  /** Milliseconds from when the request was due to its last byte, one an answer. */
  latencies: number[];
  /** The same to the first byte of the body. */
  firstBytes: number[];
}

/** Every connection sends its next request when it has its answer, for `seconds`. */
export async function closedLoop(
  connections: readonly HttpConnection[],
  seconds: number,
  send: Send,
): Promise<Driven> {
  const driven = nothing();
  const start = performance.now();
  const until = start + seconds * 1000;
  let n = 0;
  await Promise.all(
    connections.map(async (connection) => {
      for (let due = start; due < until; due = performance.now())
        if (!(await one(driven, connection, n++, due, send))) return; // a broken connection stays broken
    }),
  );
  return { ...driven, seconds: (performance.now() - start) / 1000 };
}

/**
 * Requests fall due at `perSecond`, whatever the answers do, for `seconds`. A request for which no connection is
 * free waits, and the wait is part of its latency. `look`: until it is looked again whether one is due.
 */
export async function openLoop(
  connections: readonly HttpConnection[],
  seconds: number,
  perSecond: number,
  send: Send,
  look: () => Promise<void> = inMilliseconds,
): Promise<Driven> {
  const driven = nothing();
  const free = [...connections];
  const waiting: number[] = [];
  const underWay = new Set<Promise<void>>();
  const start = performance.now();
  const total = Math.round(seconds * perSecond);
  let n = 0;
  const dispatch = () => {
    while (free.length > 0 && waiting.length > 0) {
      const connection = free.pop()!;
      const call = one(driven, connection, n++, waiting.shift()!, send).then((isSound) => {
        underWay.delete(call);
        if (isSound) free.push(connection);
        dispatch();
      });
      underWay.add(call);
    }
  };
  for (let due = 0; due < total; ) {
    await look();
    const now = performance.now();
    // Due when it was noticed: that lateness is the generator's, not the server's.
    for (; due < total && start + (due * 1000) / perSecond <= now; due++) waiting.push(now);
    dispatch();
  }
  while (underWay.size > 0) await Promise.race(underWay);
  return { ...driven, failed: driven.failed + waiting.length, seconds: (performance.now() - start) / 1000 };
}

async function one(
  driven: Driven,
  connection: HttpConnection,
  n: number,
  due: number,
  send: Send,
): Promise<boolean> {
  try {
    const { status, firstBodyAt } = await send(connection, n);
    if (status === 200) {
      driven.answered++;
      driven.latencies.push(performance.now() - due);
      driven.firstBytes.push(firstBodyAt - due);
    } else driven.failed++;
    return true;
  } catch {
    driven.failed++;
    return false;
  }
}

const nothing = (): Driven => ({ answered: 0, failed: 0, seconds: 0, latencies: [], firstBytes: [] });
const inMilliseconds = () => new Promise<void>((resolve) => setTimeout(resolve, 1));

/** For thousands of requests a second that are to come one by one, and not some at once: it takes a core for itself. */
export const atOnce = () => new Promise<void>((resolve) => setImmediate(resolve));
