import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';

/** Why tests with a program of Debian's are skipped, where they are; in CI they are not, and fail without it. */
export const missing = (program: string): string | false =>
  spawnSync(program, ['--version']).status === 0 || process.env['CI'] === 'true'
    ? false
    : `${program} is not installed (apt-get install ${program})`;

/** A real server on a loopback port and in a folder of its own, which is ended and started again as a test wants it. */
export abstract class DebianServer {
  protected readonly port: number;
  protected readonly folder: string;
  #process: ChildProcess | undefined;

  constructor(port: number, folder: string) {
    this.port = port;
    this.folder = folder;
  }

  protected abstract spawn(): ChildProcess;
  protected abstract answers(): Promise<unknown>;

  /** Starts it, on the port and with the folder that it had before; resolves when it answers. */
  async restart(): Promise<void> {
    this.#process = this.spawn();
    await this.answers();
  }

  get isRunning(): boolean {
    return this.#process?.exitCode === null && this.#process.signalCode === null;
  }

  /** Ends it as a crash would. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** Ends it as an upgrade would. */
  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  /** Makes it hang: connections stay open and nothing is answered. */
  pause(): void {
    this.#process?.kill('SIGSTOP');
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  async close(): Promise<void> {
    if (this.isRunning) await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const ended = once(this.#process!, 'exit');
    this.#process!.kill(signal);
    await ended;
  }
}
