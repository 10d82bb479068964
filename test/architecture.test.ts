import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';

/**
 * The layout's rules. An import may point only along the flow: a part may know the parts its row names, itself,
 * and the ground (settings, errors, clock), and nothing else.
 */
const GROUND = [
  'src/config.ts',
  'src/alert-settings.ts',
  'src/errors.ts',
  'src/clock.ts',
  'src/yaml-file.ts',
  'src/bearer-token.ts',
];
const MAY_IMPORT: Record<string, string[]> = {
  'src/span': [],
  'src/records': ['src/span', 'src/collector-trust.ts'],
  // What a loop's file may say of its limits and models is the gateway's to define.
  'src/registry': [
    'src/store',
    'src/records/normalize.ts',
    'src/gateway/limits/settings.ts',
    'src/gateway/routing/settings.ts',
  ],
  'src/store': ['src/span', 'src/records/observation.ts', 'src/records/input-shape.ts'],
  'src/spool': [],
  'src/gateway': [
    'src/span',
    'src/spool',
    'src/records',
    'src/registry/loop.ts',
    'src/registry/key.ts',
    'src/collector-trust.ts',
  ],
  'src/provider': ['src/records'],
  'src/replay/record': [
    'src/span',
    'src/store',
    'src/records',
    'src/collector-trust.ts',
    'src/replay/recording.ts',
  ],
  'src/replay/diff': [
    'src/replay/recording.ts',
    'src/replay/play/normalise.ts',
    'src/replay/play/message-parts.ts',
  ],
  // What a loop asks is read as the gateway reads it, and what a checker answers too.
  'src/replay/play': [
    'src/replay/recording.ts',
    'src/replay/record',
    'src/span',
    'src/store',
    'src/records/normalize.ts',
    'src/registry/loop.ts',
    'src/gateway',
  ],
  // What bisect plays is a replay, and how sure it is are statistics.
  'src/replay/bisect': [
    'src/replay/recording.ts',
    'src/replay/play',
    'src/registry/loop.ts',
    'src/store/versions.ts',
    'src/store/fleet.ts',
    'evals/stats',
  ],
  collector: ['src/span', 'src/spool', 'src/store', 'src/records/normalize.ts'],
  // Probes read a path, an answer and a verdict as the gateway does, and a judge costs what it does there.
  evals: [
    'src/span',
    'src/store',
    'src/records',
    'src/registry',
    'src/gateway/provider-api.ts',
    'src/gateway/route.ts',
    'src/gateway/verdict.ts',
    'src/gateway/price.ts',
  ],
  'evals/stats': [],
  'evals/estimate': ['evals/stats', 'src/records', 'src/store/fleet.ts'],
  'evals/attribute': ['evals/stats', 'src/records'],
  'evals/detect': ['evals/stats', 'evals/attribute', 'src/records'],
  'evals/scorers': ['evals/suite.ts', 'src/records'],
};

interface Import {
  from: string;
  to: string;
}

const root = join(import.meta.dirname, '..');
const sources = globSync('{src,collector,evals,demo}/**/*.ts', { cwd: root });

const imports: Import[] = sources.flatMap((file) =>
  [...readFileSync(join(root, file), 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].map((match) => ({
    from: file,
    to: relative(root, join(root, dirname(file), match[1]!)),
  })),
);

const isWithin = (file: string, place: string) => file === place || file.startsWith(`${place}/`);

test('an import never points back up the flow', () => {
  const wrong = imports.filter(({ from, to }) => {
    const part = Object.keys(MAY_IMPORT)
      .filter((p) => isWithin(from, p))
      .sort((a, b) => b.length - a.length)[0];
    if (!part) return false;
    return ![part, ...GROUND, ...MAY_IMPORT[part]!].some((place) => isWithin(to, place));
  });
  assert.deepEqual(
    wrong.map(({ from, to }) => `${from} -> ${to}`),
    [],
  );
});

test('no files import each other in a circle', () => {
  const next = Map.groupBy(imports, (i) => i.from);
  const done = new Set<string>();
  const visit = (file: string, path: string[]): void => {
    assert.ok(!path.includes(file), `circle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`);
    if (done.has(file)) return;
    for (const { to } of next.get(file) ?? []) visit(to, [...path, file]);
    done.add(file);
  };
  for (const file of sources) visit(file, []);
});

test('the environment is read in the settings and nowhere else', () => {
  const readers = sources.filter((file) => /process\.env/.test(readFileSync(join(root, file), 'utf8')));
  assert.deepEqual(readers, ['src/config.ts']);
});

test('only the store talks to the ClickHouse client', () => {
  const users = sources.filter((file) =>
    /'@clickhouse\/client'/.test(readFileSync(join(root, file), 'utf8')),
  );
  assert.ok(users.length > 0 && users.every((file) => isWithin(file, 'src/store')), users.join(', '));
});
