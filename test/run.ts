import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

/**
 * Runs the tests: all of them, or those whose path contains one of the arguments
 * (`npm test -- gateway`, `node test/run.ts unit/`). A test may skip where something it needs is absent and must
 * say what. In CI everything is there but, perhaps, the optional data folder: any other skip fails the run.
 */
const wanted = process.argv.slice(2);
const files = globSync('test/**/*.test.ts')
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(`No test file's path contains ${wanted.join(' or ')}.`);
  process.exit(2);
}

// What one process compiled the others need not.
process.env['NODE_COMPILE_CACHE'] ??= join(import.meta.dirname, '../node_modules/.cache/loopscope-compiled');

const skipped: string[] = [];
let failed = false;
// A failed assertion may leave a server running, and a run that never ends says less than one that fails.
const events = run({ files, concurrency: availableParallelism(), timeout: 300_000, forceExit: true });
events.on('test:fail', () => {
  failed = true;
});
events.on('test:pass', ({ name, skip }) => {
  if (skip !== undefined && !/LOOPSCOPE_TEST_DATA|LOOPSCOPE_LONG/.test(String(skip)))
    skipped.push(`${name}: ${skip}`);
});
const report = events.compose(spec);
report.pipe(process.stdout);
report.on('end', () => {
  if (process.env['CI'] && skipped.length > 0) {
    console.error(`\nSkipped in CI, where nothing may be missing:\n  ${skipped.join('\n  ')}`);
    failed = true;
  }
  process.exitCode = failed ? 1 : 0;
});
