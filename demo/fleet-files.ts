import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type Fleet, type FleetLoop, providerRecords, runRecords } from './fleet.ts';

export interface FleetFiles {
  /** Golden data by dataset. */
  golden: Map<string, string>;
  /** What the recorded provider answers, a record a call. */
  records: string;
  /** The runs as `import` and `backtest` read them, a record a run. */
  runs: string;
}

/**
 * Writes a fleet into a folder as its owners would keep it: `loops/*.yaml`, `suites/*.yaml`, `golden/*.jsonl`
 * beside a `loopscope.yaml`, and `records.jsonl` and `runs.jsonl`. Files of an earlier fleet are overwritten.
 */
export function writeFleetFiles(fleet: Pick<Fleet, 'loops'>, directory: string): FleetFiles {
  for (const folder of ['loops', 'suites', 'golden']) mkdirSync(join(directory, folder), { recursive: true });
  const golden = new Map<string, string>();
  for (const loop of fleet.loops) {
    const { definition, suite, dataset } = loop;
    writeFileSync(join(directory, 'loops', `${definition.loop}.yaml`), yaml(loop, definition));
    writeFileSync(join(directory, 'suites', `${suite.suite}.yaml`), yaml(loop, suite));
    const path = join(directory, 'golden', `${dataset}.jsonl`);
    writeFileSync(path, lines(loop.golden));
    golden.set(dataset, path);
  }
  const records = join(directory, 'records.jsonl');
  const runs = join(directory, 'runs.jsonl');
  writeFileSync(records, lines(providerRecords(fleet)));
  writeFileSync(runs, lines(fleet.loops.flatMap(runRecords)));
  return { golden, records, runs };
}

const yaml = (loop: FleetLoop, value: unknown) => `# ${loop.story}\n${stringify(value, { lineWidth: 110 })}`;

const lines = (values: readonly unknown[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('');
