import type { Suite } from '../../evals/suite.ts';
import type { Registry } from '../registry/load.ts';

/** What does not fit together among loops, suites and datasets. */
export interface InventoryFindings {
  /** What cannot work. */
  problems: string[];
  /** What may be meant, and is worth a look. */
  warnings: string[];
}

/**
 * Checks the references between files that are valid each by itself. `datasets` are those that have golden data;
 * `undefined` where nobody could be asked.
 */
export function crossCheck(
  registry: Registry,
  suites: readonly Suite[],
  datasets: ReadonlySet<string> | undefined,
): InventoryFindings {
  const problems: string[] = [];
  const warnings: string[] = [];
  const byName = new Map(suites.map((suite) => [suite.suite, suite]));
  for (const { definition, path } of registry.loops.values()) {
    const { loop, suite: suiteName, dataset } = definition;
    const suite = suiteName === undefined ? undefined : byName.get(suiteName);
    if (suiteName !== undefined && !suite)
      problems.push(
        `${path}: suite: no file in suites/ describes "${suiteName}". Add it, or correct the name.`,
      );
    if (suite && suite.loop !== loop)
      problems.push(
        `${path}: suite: "${suiteName}" is about loop "${suite.loop}" (${suite.file}), not "${loop}".`,
      );
    if (suite && dataset !== undefined && suite.dataset !== dataset)
      problems.push(
        `${path}: dataset: "${dataset}", but its suite holds it against "${suite.dataset}" (${suite.file}).`,
      );
    if (!suites.some((s) => s.loop === loop))
      warnings.push(`${path}: no suite is about loop "${loop}": it stays unmeasured.`);
    if (!definition.agents.some(({ role }) => role === 'maker'))
      warnings.push(`${path}: agents: none has role maker, so callers have to say who does the work.`);
  }
  for (const { suite, loop, dataset, file } of suites) {
    if (!registry.loops.has(loop))
      problems.push(
        `${file}: loop: no file in loops/ describes "${loop}". Register it, or correct the name.`,
      );
    if (datasets && !datasets.has(dataset))
      warnings.push(
        `${file}: dataset: "${dataset}" has no golden data, so suite "${suite}" scores nothing. \`loopscope golden import FILE --dataset ${dataset}\` brings some.`,
      );
  }
  return { problems, warnings };
}
