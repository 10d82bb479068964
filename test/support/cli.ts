import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import type { CliEnvironment } from '../../src/cli/context.ts';
import { run } from '../../src/cli/program.ts';

/** A stream that keeps what is written to it; a terminal if told so. */
export function buffer(isTTY = false): Writable & { text(): string; isTTY: boolean } {
  let written = '';
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      written += String(chunk);
      done();
    },
  });
  return Object.assign(stream, { text: () => written, isTTY });
}

export interface CliResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs one command line in this process, in an environment of its own. */
export async function runCli(
  argv: readonly string[],
  given: Partial<CliEnvironment> = {},
): Promise<CliResult> {
  const stdout = buffer();
  const stderr = buffer();
  const code = await run(argv, { env: {}, stdout, stderr, ...given });
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

/** A folder that is gone after `work`. */
export async function inFolder<T>(work: (folder: string) => T | Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-cli-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
