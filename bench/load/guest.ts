import { Server } from 'node:net';

/**
 * Loaded (`--import`) before a program that is not ours: makes it listen on the loopback interface only, which
 * Portkey has no setting for, and end with the benchmark that started it.
 */
const listen = Server.prototype.listen as (this: Server, ...args: unknown[]) => Server;
Server.prototype.listen = function (this: Server, ...args: unknown[]) {
  const [first, ...rest] = args;
  const options = typeof first === 'object' && first !== null ? first : { port: first };
  return listen.call(this, { ...options, host: '127.0.0.1' }, ...rest.filter((x) => typeof x === 'function'));
} as typeof Server.prototype.listen;

process.once('disconnect', () => process.exit(0));
