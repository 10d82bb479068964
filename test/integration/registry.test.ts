import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { loadRegistry } from '../../src/registry/load.ts';
import { recordVersions } from '../../src/registry/versions.ts';
import { versionsOf } from '../../src/store/registry.ts';
import { inFolder, runCli } from '../support/cli.ts';
import { startTestStore } from '../support/store.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
const clock = systemClock();

before(async () => {
  server = await startTestStore();
});
after(() => server.close());

/** A project folder with these files, and the command line in it. */
function project<T>(
  files: Record<string, string>,
  work: (folder: string, cli: (...argv: string[]) => ReturnType<typeof runCli>) => Promise<T>,
): Promise<T> {
  return inFolder((folder) => {
    for (const sub of ['loops', 'suites']) mkdirSync(join(folder, sub));
    const config = join(folder, 'loopscope.yaml');
    writeFileSync(config, `clickhouse: { url: "${server.url}" }\n`);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    return work(folder, (...argv) => runCli([...argv, '--config', config]));
  });
}

test('a version is stored when a loop is new or changed, and only then', () =>
  project(
    { 'loops/a.yaml': 'loop: a\nowner: x\n', 'loops/b.yaml': 'loop: b\nowner: x\n' },
    async (folder, cli) => {
      const record = () => recordVersions(server.store, loadRegistry(folder), clock);
      assert.deepEqual(await record(), ['a', 'b']);
      assert.deepEqual(await record(), []);
      writeFileSync(join(folder, 'loops/b.yaml'), 'loop: b\nowner: y\n');
      assert.deepEqual(await record(), ['b']);
      writeFileSync(join(folder, 'loops/b.yaml'), 'loop: b\nowner: x\n');
      assert.deepEqual(await record(), ['b'], 'going back is a change too');
      const versions = await versionsOf(server.store, 'b');
      assert.deepEqual(
        versions.map((v) => JSON.parse(v.content).owner),
        ['x', 'y', 'x'],
      );

      const shown = JSON.parse((await cli('registry', 'show', 'b', '--json')).stdout);
      assert.equal(shown.definition.owner, 'x');
      assert.equal(shown.versions.length, 3);
      assert.equal(shown.version, shown.versions[0].version);
      assert.match((await cli('registry', 'show', 'b')).stdout, /owner +x\n/);
      const missing = await cli('registry', 'show', 'nope');
      assert.equal(missing.code, 1);
      assert.match(missing.stderr, /No file in loops\/ describes a loop "nope"\. Registered: a, b\./);
    },
  ));

test('show works on the files alone when ClickHouse is away', () =>
  inFolder(async (folder) => {
    mkdirSync(join(folder, 'loops'));
    writeFileSync(join(folder, 'loops/a.yaml'), 'loop: a\nowner: x\nagents: [{ name: m, role: maker }]\n');
    const config = join(folder, 'loopscope.yaml');
    writeFileSync(config, 'clickhouse: { url: "http://127.0.0.1:1" }\n');
    const { code, stdout, stderr } = await runCli(['registry', 'show', 'a', '--config', config]);
    assert.equal(code, 0);
    assert.match(stdout, /^m +maker +any/m);
    assert.match(stderr, /ClickHouse does not answer/);
  }));

test('check passes a good inventory and warns of what may be meant', () =>
  project(
    {
      'loops/a.yaml': 'loop: a\nowner: x\nsuite: s\nagents: [{ name: m, role: maker }]\n',
      'suites/s.yaml': 'suite: s\nloop: a\ndataset: d\n',
    },
    async (_folder, cli) => {
      const { code, stdout } = await cli('registry', 'check', '--json');
      const found = JSON.parse(stdout);
      assert.deepEqual([code, found.ok, found.loops, found.suites, found.problems], [0, true, 1, 1, []]);
      assert.equal(found.warnings.length, 1);
      assert.match(found.warnings[0], /"d" has no golden data/);
    },
  ));

test('check names file, line and field of everything wrong, and exits 2', () =>
  project(
    {
      'loops/a.yaml': 'loop: a\nowner: x\nagents:\n  - { name: m, role: boss }\n',
      'suites/s.yaml': 'suite: s\nloop: a\ndataset: d\nschedule: whenever\n',
    },
    async (_folder, cli) => {
      const json = await cli('registry', 'check', '--json');
      assert.equal(json.code, 2);
      const { ok, problems } = JSON.parse(json.stdout);
      assert.equal(ok, false);
      assert.equal(problems.length, 2);
      assert.match(problems[0], /loops\/a\.yaml:4: agents\.0\.role: /);
      assert.match(problems[1], /suites\/s\.yaml:4: schedule: /);
      const text = await cli('registry', 'check');
      assert.equal(text.code, 2);
      assert.match(text.stdout, /^wrong {2}.*a\.yaml:4/m);
    },
  ));

test('check tells references that lead nowhere', () =>
  project({ 'loops/a.yaml': 'loop: a\nowner: x\nsuite: gone\n' }, async (_folder, cli) => {
    const { code, stdout } = await cli('registry', 'check');
    assert.equal(code, 2);
    assert.match(stdout, /no file in suites\/ describes "gone"/);
  }));

test('touches tells who owns and who reads an artifact', () =>
  project(
    {
      'loops/a.yaml': 'loop: a\nowner: x\nartifacts: { owns: [notes] }\n',
      'loops/b.yaml': 'loop: b\nowner: y\nartifacts: { reads: [notes, log] }\n',
    },
    async (_folder, cli) => {
      assert.deepEqual(JSON.parse((await cli('registry', 'touches', 'notes', '--json')).stdout), {
        artifact: 'notes',
        owner: { loop: 'a', owner: 'x' },
        readers: [{ loop: 'b', owner: 'y' }],
      });
      assert.match((await cli('registry', 'touches', 'log')).stderr, /No loop owns "log"/);
      assert.equal((await cli('registry', 'touches', 'nothing')).code, 1);
    },
  ));
