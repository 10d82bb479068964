import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DASHBOARDS } from './dashboards.ts';

/**
 * Writes the dashboards' JSON anew: `node deploy/grafana/source/main.ts`. What is checked in is what Grafana is given; a
 * test says so when it is not what this makes.
 */
const FOLDER = join(import.meta.dirname, '../dashboards');

for (const [name, build] of Object.entries(DASHBOARDS))
  writeFileSync(join(FOLDER, `${name}.json`), `${JSON.stringify(build(), null, 2)}\n`);
execFileSync('biome', ['check', '--write', FOLDER], {
  stdio: 'inherit',
  env: {
    ...process.env,
    PATH: `${join(import.meta.dirname, '../../../node_modules/.bin')}:${process.env['PATH']}`,
  },
});
