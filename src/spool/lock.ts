import { createHash } from 'node:crypto';
import { realpathSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LoopscopeError } from '../errors.ts';

/**
 * One process a folder: whoever listens on the socket named after the folder has it. The operating system lets go of
 * it when the process ends, however that ends, so there is nothing stale to judge. (Containers with a network
 * namespace each that share a volume do not see each other's.) Throws `data_dir_in_use`.
 */
export async function lockFolder(folder: string): Promise<{ release(): Promise<void> }> {
  const id = createHash('sha256').update(realpathSync(folder)).digest('hex').slice(0, 32);
  const abstract = process.platform === 'linux';
  const address = abstract ? `\0loopscope-spool-${id}` : join(tmpdir(), `loopscope-spool-${id}.sock`);
  let server = await listen(address);
  // Only Linux has sockets without a file; elsewhere the file of a process that was killed is still there.
  if (!server && !abstract && !(await answers(address))) {
    unlinkSync(address);
    server = await listen(address);
  }
  if (!server)
    throw new LoopscopeError(
      'data_dir_in_use',
      `Another process has the spool ${folder}. Stop it, or give this one a data_dir of its own.`,
    );
  const held = server;
  return { release: () => new Promise((resolve) => held.close(() => resolve())) };
}

function listen(address: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.unref();
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    );
    // Exclusive: in a worker of a cluster the primary process would hold it, and the worker's end would not let go.
    server.listen({ path: address, exclusive: true }, () => resolve(server));
  });
}

function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
