import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Takes each promise to the disk, and the insert's token, out of a copy of the spool, one call at a time, and runs the
 * spool's tests on it: `node test/mutate-spool.ts`. A call whose loss no test notices is printed as `survived`, and is
 * either not tested or not needed.
 */
const ROOT = join(import.meta.dirname, '..');
const TEST = 'test/fault/spool-lives.test.ts';
/** Names of tests, the quick to notice first. */
const PATTERNS = ['cursor is gone', 'several ends in a row', 'around any operation on disk'];
const TEST_MS_MAX = 200_000;

interface MutationKind {
  what: string;
  pattern: RegExp;
  replacement: string;
}

/** What is taken out, and by what it is told in the text. */
const KINDS: MutationKind[] = [
  {
    what: 'datasync',
    pattern: /await (?:this\.)?file\.datasync\(\)/g,
    replacement: 'await Promise.resolve()',
  },
  {
    what: 'syncFolder',
    pattern: /await (?:this\.)?files\.syncFolder\([^)]*\)/g,
    replacement: 'await Promise.resolve()',
  },
  {
    what: 'cursor save',
    pattern: /(?<='ranges'\) )await this\.save\(\)/g,
    replacement: 'await Promise.resolve()',
  },
  {
    what: 'first cursor',
    pattern: /await cursorFile\.save\(cursor\)/g,
    replacement: 'await Promise.resolve()',
  },
  { what: 'token', pattern: /token: `/g, replacement: 'token: `$' + '{Math.random()}' },
];

interface Mutant {
  what: string;
  file: string;
  line: number;
  text: string;
}

function* mutants(): Generator<Mutant> {
  for (const file of globSync('src/spool/*.ts', { cwd: ROOT }).sort()) {
    if (file.endsWith('files.ts')) continue; // the disk itself, which tests stand in for
    const source = readFileSync(join(ROOT, file), 'utf8');
    for (const { what, pattern, replacement } of KINDS)
      for (const match of source.matchAll(pattern)) {
        const before = source.slice(0, match.index);
        const text = before + replacement + source.slice(match.index + match[0].length);
        yield { what, file, line: before.split('\n').length, text };
      }
  }
}

const copy = mkdtempSync(join(tmpdir(), 'loopscope-mutants-'));
try {
  for (const folder of ['collector', 'src', 'test'])
    cpSync(join(ROOT, folder), join(copy, folder), { recursive: true });
  cpSync(join(ROOT, 'package.json'), join(copy, 'package.json'));
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  let survived = 0;
  for (const { what, file, line, text } of mutants()) {
    const original = readFileSync(join(copy, file), 'utf8');
    writeFileSync(join(copy, file), text);
    let outcome = 'survived';
    let why = '';
    for (const pattern of PATTERNS) {
      const { status, stdout } = spawnSync(
        process.execPath,
        ['--test-force-exit', '--test-name-pattern', pattern, TEST],
        { cwd: copy, encoding: 'utf8', timeout: TEST_MS_MAX },
      );
      if (status === 0) continue;
      // A test that comes to no end has noticed, as long as it ends on the spool as it is.
      outcome = status === null ? 'hung' : 'killed';
      why = /AssertionError[^\n]*?: ([^\n]*)/.exec(stdout)?.[1] ?? '';
      break;
    }
    writeFileSync(join(copy, file), original);
    if (outcome === 'survived') survived++;
    console.log([outcome, what, `${file}:${line}`, why].join('\t'));
  }
  process.exitCode = survived > 0 ? 1 : 0;
} finally {
  rmSync(copy, { recursive: true, force: true });
}
