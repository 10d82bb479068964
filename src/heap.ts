import { readdirSync, readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { setFlagsFromString } from 'node:v8';

/**
 * How much the heap may grow over what lives before all of it is looked through. More saves little and takes memory: a collector
 * whose ClickHouse was slow lived in 130 MB of buffers and objects, and with 100 percent had 425 MB in all, with 50 percent 332.
 */
const GROWTH_PERCENT = 50;
/** A gateway is waited for while its heap is looked through: with this it did a tenth more calls. */
const GATEWAY_GROWTH_PERCENT = 150;

/**
 * Makes full garbage collections rarer, for a process through which bytes flow. V8 counts buffers as growth of the heap, also
 * those that are about to be let go: at full load a collector's twenty megabytes of objects were looked through every sixth of
 * a second, by all of V8's threads, and that took a quarter of its processor time.
 */
export function letHeapGrow(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
}

/**
 * The same for a process that is a gateway and nothing else, where calls wait while memory is tidied up. V8 has helpers for
 * that, which on a core that is full come before the calls, for tens of milliseconds: here they get what the calls leave. With
 * 1,000 streams open on one core that halved the 99th percentile of the time to the first token.
 *
 * They also compile what runs often, and a gateway that is busy from its start needs that soon: so only after `warmUpMs`.
 */
export function tidyBehindCalls(warmUpMs = WARM_UP_MS): void {
  setFlagsFromString(`--heap-growing-percent=${GATEWAY_GROWTH_PERCENT}`);
  setFlagsFromString('--no-parallel-scavenge'); // it would wait for them
  // After some seconds without calls V8 would give back what memory it can, and the compiled code with it: with the next ones
  // 177 functions were compiled anew, and at full load the 99th percentile was 8 to 11 ms where it is 4 otherwise.
  setFlagsFromString('--no-memory-reducer-favors-memory');
  setFlagsFromString('--no-flush-bytecode');
  setTimeout(lowerHelpers, warmUpMs).unref();
}

function lowerHelpers(): void {
  try {
    for (const thread of readdirSync(THREADS))
      if (readFileSync(`${THREADS}/${thread}/comm`, 'utf8') === 'V8Worker\n')
        setPriority(Number(thread), LOWEST_PRIORITY);
  } catch {
    // Only Linux has priorities of threads, and lists them there.
  }
}

/** At full load the code is compiled after three seconds, and by helpers that get little time after twelve. */
const WARM_UP_MS = 15_000;
const THREADS = '/proc/self/task';
const LOWEST_PRIORITY = 19;
