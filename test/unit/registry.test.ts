import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SuiteDefinition } from '../../evals/suite.ts';
import { crossCheck } from '../../src/cli/inventory.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { loadRegistry } from '../../src/registry/load.ts';
import { versionOf } from '../../src/registry/versions.ts';
import { inFolder } from '../support/cli.ts';

function withLoops<T>(files: Record<string, string>, work: (folder: string) => T): Promise<T> {
  return inFolder((folder) => {
    mkdirSync(join(folder, 'loops'));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, 'loops', name), text);
    return work(folder);
  });
}

const complaint = (files: Record<string, string>): Promise<string> =>
  withLoops(files, (folder) => {
    try {
      loadRegistry(folder);
    } catch (error) {
      assert.ok(error instanceof LoopscopeError && error.code === 'config_invalid' && error.exitCode === 2);
      return error.message.replaceAll(join(folder, 'loops/'), '');
    }
    return assert.fail('it was accepted');
  });

test('no loops/ folder is an empty registry', () =>
  inFolder((folder) => {
    const registry = loadRegistry(folder);
    assert.equal(registry.loops.size, 0);
    assert.equal(registry.loop('primes'), undefined);
  }));

test('loops are found by name, with the file they came from', () =>
  withLoops(
    { 'a.yaml': 'loop: primes\nowner: platform\n', 'b.yml': 'loop: docs\nowner: web\n', 'c.txt': 'no' },
    (folder) => {
      const registry = loadRegistry(folder);
      assert.deepEqual([...registry.loops.keys()], ['primes', 'docs']);
      assert.equal(registry.loop('docs')?.owner, 'web');
      assert.equal(registry.loops.get('primes')?.path, join(folder, 'loops/a.yaml'));
      assert.equal(registry.loop('toString'), undefined);
    },
  ));

test('every complaint of every file is told, with file, line, field and what was found', async () => {
  const text = await complaint({
    'a.yaml': 'loop: primes\nowner: platform\nschedul: daily\n',
    'b.yaml': 'loop: docs\nowner: web\nagents:\n  - name: maker\n    role: boss\n',
  });
  assert.match(text, /^a\.yaml:3: schedul: unknown field/m);
  assert.match(text, /^b\.yaml:5: agents\.0\.role: .*"boss"/m);
});

test('a loop described twice names both files', async () => {
  const loop = 'owner: platform\nloop: primes\n';
  assert.match(
    await complaint({ 'a.yaml': loop, 'b.yaml': `# a copy\n${loop}` }),
    /^b\.yaml:3: loop "primes" is already described in a\.yaml:2\./,
  );
});

test('an agent described twice names both lines', async () => {
  const text = await complaint({
    'a.yaml':
      'loop: primes\nowner: platform\nagents:\n  - { name: maker, role: maker }\n  - { name: maker, role: sub }\n',
  });
  assert.match(text, /^a\.yaml:5: agents\.1\.name: agent "maker" is already described in a\.yaml:4\./);
});

test('an artifact with two owners names both files', async () => {
  const text = await complaint({
    'a.yaml': 'loop: primes\nowner: platform\nartifacts:\n  owns: [notes]\n',
    'b.yaml': 'loop: docs\nowner: web\nartifacts:\n  owns:\n    - pages\n    - notes\n',
  });
  assert.match(text, /^b\.yaml:6: artifacts\.owns: "notes" is already owned by loop "primes" \(a\.yaml:4\)/);
});

test('a version changes with the content, and only then', () =>
  withLoops({ 'a.yaml': 'loop: a\nowner: x\n' }, (folder) => {
    const { definition } = loadRegistry(folder).loops.get('a')!;
    writeFileSync(join(folder, 'loops/a.yaml'), '# moved about\nowner: x\nloop: a\n');
    assert.equal(versionOf(loadRegistry(folder).loop('a')!), versionOf(definition));
    writeFileSync(join(folder, 'loops/a.yaml'), 'loop: a\nowner: y\n');
    assert.notEqual(versionOf(loadRegistry(folder).loop('a')!), versionOf(definition));
    assert.match(versionOf(definition), /^[0-9a-f]{12}$/);
  }));

test('loops, suites and datasets that do not fit together are told', () =>
  withLoops(
    {
      'a.yaml': 'loop: a\nowner: x\nsuite: s\ndataset: d1\nagents: [{ name: m, role: maker }]\n',
      'b.yaml': 'loop: b\nowner: x\nsuite: gone\n',
    },
    (folder) => {
      const suite = (given: object) => ({
        ...SuiteDefinition.parse(given),
        file: 'suites/s.yaml',
        directory: 'suites',
      });
      const { problems, warnings } = crossCheck(
        loadRegistry(folder),
        [
          suite({ suite: 's', loop: 'a', dataset: 'd2' }),
          suite({ suite: 't', loop: 'nobody', dataset: 'd2' }),
        ],
        new Set(['d1']),
      );
      assert.equal(problems.length, 3);
      assert.match(problems[0]!, /a\.yaml: dataset: "d1", but its suite holds it against "d2"/);
      assert.match(problems[1]!, /b\.yaml: suite: no file in suites\/ describes "gone"/);
      assert.match(problems[2]!, /suites\/s\.yaml: loop: no file in loops\/ describes "nobody"/);
      assert.ok(warnings.some((w) => /b\.yaml: no suite is about loop "b": it stays unmeasured/.test(w)));
      assert.ok(warnings.some((w) => /"d2" has no golden data/.test(w)));
    },
  ));
