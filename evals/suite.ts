import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { LoopscopeError } from '../src/errors.ts';
import { cron } from '../src/registry/loop.ts';
import { readYamlFile } from '../src/yaml-file.ts';
import { ProbeSettings } from './probe/settings.ts';
import { ScorerDefinition } from './scorers/definition.ts';

export { ScorerDefinition };

/** A suite as `suites/*.yaml` has it: which loop is held against which golden data, how, and how often. */

const name = z.string().min(1).max(200);

const timezone = z.string().superRefine((zone, context) => {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
  } catch {
    context.addIssue({ code: 'custom', message: 'expected a time zone such as UTC or Europe/Berlin' });
  }
});

/** Scored runs between false alarms, on average, where nobody asks for another number. */
const ARL_DEFAULT = 10_000;

export const SuiteDefinition = z.strictObject({
  suite: name,
  loop: name,
  dataset: name,
  scorer: ScorerDefinition.default('text'),
  schedule: cron.default('*/15 * * * *'),
  /** Where the schedule's clock hangs. */
  timezone: timezone.default('UTC'),
  /** What its judge may cost in a UTC day; what it pays for is spread over the day. No cap without it. */
  cost_usd_per_day: z.number().positive().max(1e6).optional(),
  sample: z.strictObject({ runs_per_day: z.number().int().positive().default(200) }).prefault({}),
  detector: z.strictObject({ arl: z.number().min(100).max(1e12).default(ARL_DEFAULT) }).prefault({}),
  /** Golden inputs that are sent through the loop's live agents; see probe/settings.ts. */
  probe: ProbeSettings.optional(),
  /** People are asked for so many labels a day, on average; for none without it. */
  labels: z
    .strictObject({
      per_day: z.number().int().min(1).max(10_000).default(10),
      /** Least chance of a run to be asked about, as far as the budget allows. */
      floor: z.number().min(0.0001).max(1).default(0.02),
    })
    .optional(),
});

export type SuiteDefinition = z.infer<typeof SuiteDefinition>;

/** A suite and where it came from; a scorer module is found beside that file. */
export interface Suite extends SuiteDefinition {
  file: string;
  directory: string;
}

/** The average run length to a false alarm that a loop's suites ask for: the longest. */
export function arlOf(loop: string, suites: readonly Suite[]): number {
  const asked = suites.filter((suite) => suite.loop === loop).map((suite) => suite.detector.arl);
  return asked.length > 0 ? Math.max(...asked) : ARL_DEFAULT;
}

/**
 * The suites of `DIRECTORY/suites/*.yaml`, by name. No folder means no suites.
 * Throws `config_invalid` with every complaint of every file; two suites of one name are a complaint naming both files.
 */
export function loadSuites(configDirectory: string): Suite[] {
  const directory = join(configDirectory, 'suites');
  const complaints: string[] = [];
  const suites = new Map<string, Suite>();
  for (const file of suiteFiles(directory)) {
    try {
      const suite = { ...readYamlFile(file, SuiteDefinition), file, directory };
      const other = suites.get(suite.suite);
      if (other)
        complaints.push(
          `${file}: suite: expected a name of its own, but ${other.file} is called ${JSON.stringify(suite.suite)} too. Rename one of them.`,
        );
      else suites.set(suite.suite, suite);
    } catch (error) {
      if (!(error instanceof LoopscopeError)) throw error;
      complaints.push(error.message);
    }
  }
  if (complaints.length > 0) throw new LoopscopeError('config_invalid', complaints.join('\n'));
  return [...suites.values()].sort((a, b) => (a.suite < b.suite ? -1 : 1));
}

function suiteFiles(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((file) => /\.ya?ml$/.test(file))
      .sort()
      .map((file) => join(directory, file));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new LoopscopeError('config_invalid', `${directory}: cannot be read: ${(error as Error).message}`);
  }
}

/** The suites in force: read again when a file was added, changed or removed, and kept as they were when not valid. */
export interface SuiteBook {
  current(): readonly Suite[];
  /** Why the files as they are now are not in force; `undefined` when they are. */
  complaint(): string | undefined;
}

/** Opens the book. Throws `config_invalid` when the suites are wrong from the start. */
export function openSuites(configDirectory: string): SuiteBook {
  const directory = join(configDirectory, 'suites');
  let stamp = stampOf(directory);
  let suites = loadSuites(configDirectory);
  let complaint: string | undefined;
  return {
    current: () => {
      const now = stampOf(directory);
      if (now === stamp) return suites;
      stamp = now;
      try {
        suites = loadSuites(configDirectory);
        complaint = undefined;
      } catch (error) {
        complaint = (error as Error).message;
      }
      return suites;
    },
    complaint: () => complaint,
  };
}

/** Changes whenever a suite file does. A file that vanishes between listing and looking is gone next time. */
function stampOf(directory: string): string {
  try {
    return suiteFiles(directory)
      .map((file) => {
        const found = statSync(file, { throwIfNoEntry: false });
        return `${file}\0${found?.mtimeMs}\0${found?.size}`;
      })
      .join('\n');
  } catch (error) {
    return (error as Error).message;
  }
}
