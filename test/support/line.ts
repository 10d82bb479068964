import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** What becomes of a connection and of what goes over it. */
export type LineMode =
  | 'up'
  /** It is refused, and those that are open are cut. */
  | 'down'
  /** Requests go through; where an answer should come the connection is cut. */
  | 'mute'
  /** The same for one answer; then it is up again. */
  | 'mute-once'
  /** Requests go through, and no answer ever comes. */
  | 'hold'
  /** Nothing goes through, and nothing is refused. */
  | 'hang'
  /** It is reset when a part of a request has gone through. */
  | 'reset';

/** A TCP line to `port` of this machine that can be disturbed; a connection has the mode the line has at the time. */
export async function startLine(port: number) {
  let mode: LineMode = 'up';
  let disturbed = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    sockets.add(client);
    client.on('close', () => sockets.delete(client)).on('error', () => {});
    if (mode === 'down') {
      disturbed++;
      client.destroy();
      return;
    }
    const upstream = connect(port, '127.0.0.1');
    client.on('close', () => upstream.destroy());
    upstream.on('error', () => client.destroy()).on('close', () => client.destroy());
    client.on('data', (chunk) => {
      if (mode === 'hang') {
        disturbed++;
      } else if (mode === 'reset') {
        disturbed++;
        upstream.write(chunk.subarray(0, chunk.length >> 1), () => {
          upstream.resetAndDestroy();
          client.resetAndDestroy();
        });
      } else upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      if (mode === 'mute' || mode === 'mute-once' || mode === 'hold') disturbed++;
      if (mode === 'mute' || mode === 'mute-once') client.destroy();
      else if (mode !== 'hold') client.write(chunk);
      if (mode === 'mute-once') mode = 'up';
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cutAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    set: (next: LineMode) => {
      // Of a connection on which something was withheld nothing can be expected any more.
      if (next === 'down' || mode === 'hold' || mode === 'hang') cutAll();
      mode = next;
    },
    /** Connections, requests and answers that did not come through. */
    disturbed: () => disturbed,
    close: async () => {
      cutAll();
      server.close();
      await once(server, 'close');
    },
  };
}
