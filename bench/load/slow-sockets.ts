import { connect, type Socket } from 'node:net';
import { serve } from '../harness/child-side.ts';

/**
 * Senders that never come to an end: every second each sends one byte more, half of them of a head and half of a
 * body. One that is cut off comes back.
 */
export interface Slowness {
  url: string;
  /** How many there are from now on; 0 sends all away. */
  sockets: number;
}

/** So that they do not all send at once. */
const TURNS_PER_S = 20;
const HEAD = 'POST /v1/traces HTTP/1.1\r\nhost: slow\r\ncontent-type: application/x-protobuf\r\n';

let url = new URL('http://127.0.0.1');
let wanted = 0;
let sockets: Socket[] = [];
let cutOff = 0;

function open(n: number): Socket {
  const socket = connect(Number(url.port), url.hostname);
  socket.on('error', () => {}); // it closes
  socket.on('close', () => {
    if (sockets[n] !== socket) return;
    cutOff++;
    sockets[n] = open(n);
  });
  socket.resume();
  socket.write(n % 2 === 0 ? HEAD : `${HEAD}content-length: 1000000\r\n\r\n`);
  if (n % 2 === 0) socket.write('x-slow: ');
  return socket;
}

let turn = 0;
setInterval(() => {
  turn++;
  for (let n = turn % TURNS_PER_S; n < sockets.length; n += TURNS_PER_S) sockets[n]!.write('x');
}, 1000 / TURNS_PER_S);

async function answer(slowness: Slowness): Promise<object> {
  url = new URL(slowness.url);
  wanted = slowness.sockets;
  const old = sockets;
  sockets = [];
  for (const socket of old) socket.destroy();
  sockets = Array.from({ length: wanted }, (_, n) => open(n));
  await Promise.all(
    sockets.map((socket) => new Promise<void>((resolve) => socket.once('connect', () => resolve()))),
  );
  return { cutOff };
}

serve({}, answer);
