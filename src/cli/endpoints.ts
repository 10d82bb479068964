import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

/** Where the parts of a running `loopscope up` answer. It leaves this in its data folder for the other commands. */
const Endpoints = z.object({
  pid: z.number().int().positive(),
  gateway: z.url().optional(),
  collector: z.url().optional(),
  clickhouse: z.url().optional(),
  evals: z.url().optional(),
});

export type Endpoints = z.infer<typeof Endpoints>;

const fileIn = (dataDir: string) => join(dataDir, 'endpoints.json');

/** Leaves word of a running instance; readers see all of it or nothing. */
export function writeEndpoints(dataDir: string, endpoints: Endpoints): void {
  mkdirSync(dataDir, { recursive: true });
  const draft = `${fileIn(dataDir)}.${endpoints.pid}`;
  writeFileSync(draft, `${JSON.stringify(endpoints)}\n`);
  renameSync(draft, fileIn(dataDir));
}

/** The running instance of a data folder; `undefined` where there is none, or only the word of one that died. */
export function readEndpoints(dataDir: string): Endpoints | undefined {
  let text: string;
  try {
    text = readFileSync(fileIn(dataDir), 'utf8');
  } catch {
    return undefined;
  }
  const parsed = Endpoints.safeParse(jsonOrUndefined(text));
  return parsed.success && isAlive(parsed.data.pid) ? parsed.data : undefined;
}

/** Takes the word back at the end, unless another instance has left its own since. */
export function removeEndpoints(dataDir: string, pid: number): void {
  if (readEndpoints(dataDir)?.pid === pid) rmSync(fileIn(dataDir), { force: true });
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // alive, and someone else's
  }
}
