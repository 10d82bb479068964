import { setFlagsFromString } from 'node:v8';

/**
 * How much the heap may grow over what lives before all of it is looked through. More saves little and takes memory: a collector
 * whose ClickHouse was slow lived in 130 MB of buffers and objects, and with 100 percent had 425 MB in all, with 50 percent 332.
 * A gateway is waited for while its heap is looked through: with 50 percent it has 290 MB at full load, with 150 it has 340 and
 * does so a tenth more calls.
 */
const GROWTH_PERCENT = { any: 50, gateway: 150 };

/**
 * Makes full garbage collections rarer, for a process through which bytes flow; `gateway` for one that is nothing else. V8
 * counts buffers as growth of the heap, also those that are about to be let go: at full load a collector's twenty megabytes
 * of objects were looked through every sixth of a second, by all of V8's threads, and that took a quarter of its processor
 * time.
 */
export function letHeapGrow(role: keyof typeof GROWTH_PERCENT = 'any'): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT[role]}`);
}
