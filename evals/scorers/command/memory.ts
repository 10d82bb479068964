import { readdirSync, readFileSync } from 'node:fs';

/**
 * Memory of a process and of all that descend from it, by what /proc says: pages that are theirs and pages of memory
 * they share with each other, not those of the programs they run. What two of them share counts twice.
 *
 * Limits of the kernel do not do it: they count what is reserved, of which runtimes take gigabytes that they never
 * touch, and they count each process by itself.
 */
export function memoryBytes(root: number): number {
  const pids = [root];
  let bytes = 0;
  for (let at = 0; at < pids.length && at < PROCESSES_MAX; at++) {
    const pid = pids[at]!;
    try {
      bytes += residentBytes(readFileSync(`/proc/${pid}/status`, 'latin1'));
      for (const task of readdirSync(`/proc/${pid}/task`))
        for (const child of readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1').split(' '))
          if (child.trim() !== '') pids.push(Number(child));
    } catch {
      // it ended while we looked
    }
  }
  return bytes;
}

/** More are not looked at; the sandbox permits fewer. */
const PROCESSES_MAX = 5_000;

function residentBytes(status: string): number {
  let kilobytes = 0;
  for (const [, found] of status.matchAll(/^Rss(?:Anon|Shmem):\s+(\d+) kB$/gm)) kilobytes += Number(found);
  return kilobytes * 1024;
}
