import { relative } from 'node:path';
import type { Command } from 'commander';
import type { Suite } from '../../evals/suite.ts';
import { LoopscopeError } from '../errors.ts';
import type { Registry } from '../registry/load.ts';
import type { LoopDefinition } from '../registry/loop.ts';
import { versionOf } from '../registry/versions.ts';
import { listDatasets } from '../store/golden.ts';
import { type RegistryVersion, versionsOf } from '../store/registry.ts';
import type { CliContext } from './context.ts';
import { iso, time, UNKNOWN } from './format.ts';
import { crossCheck } from './inventory.ts';
import { type Column, table } from './table.ts';

/** `registry`: the inventory of loops, from the files in `loops/`. */
export function add(program: Command, context: CliContext): void {
  const registry = program.command('registry').description('check and show what loops there are');
  registry
    .command('check')
    .description(
      'check loops/ and suites/ and how they refer to each other; exit code 2 when something is wrong',
    )
    .addHelpText('after', '\nExample:\n  loopscope registry check')
    .action(() => check(context));
  registry
    .command('show')
    .description("show a loop's definition and its stored versions")
    .argument('<loop>', 'its name')
    .addHelpText('after', '\nExample:\n  loopscope registry show primes')
    .action((loop: string) => show(context, loop));
  registry
    .command('touches')
    .description('show which loops own or read an artifact')
    .argument('<artifact>', 'its name')
    .addHelpText('after', '\nExample:\n  loopscope registry touches release-notes')
    .action((artifact: string) => touches(context, artifact));
}

async function check(context: CliContext): Promise<void> {
  const { registry, suites, complaints } = read(context);
  const datasets = complaints.length === 0 ? await datasetsStored(context) : undefined;
  const found = registry && suites ? crossCheck(registry, suites, datasets) : { problems: [], warnings: [] };
  const problems = [...complaints, ...found.problems];
  if (problems.length > 0) context.exitCode = 2;
  const document = {
    ok: problems.length === 0,
    loops: registry?.loops.size ?? null,
    suites: suites?.length ?? null,
    problems,
    warnings: found.warnings,
  };
  context.show(document, () => {
    for (const problem of problems) context.out.line(`${context.out.paint('red', 'wrong')}  ${problem}`);
    for (const warning of found.warnings)
      context.out.line(`${context.out.paint('yellow', 'note')}   ${warning}`);
    if (problems.length === 0)
      context.out.line(
        `${context.out.paint('green', 'ok')}     ${document.loops} loops, ${document.suites} suites`,
      );
  });
}

/** The files as far as they are valid, and all complaints of both folders. */
function read(context: CliContext): { registry?: Registry; suites?: readonly Suite[]; complaints: string[] } {
  const complaints: string[] = [];
  const attempt = <T>(load: () => T): T | undefined => {
    try {
      return load();
    } catch (error) {
      if (!(error instanceof LoopscopeError)) throw error;
      complaints.push(...error.message.split('\n'));
      return undefined;
    }
  };
  context.config(); // what is wrong with the settings themselves is not the inventory's business
  return { registry: attempt(() => context.registry()), suites: attempt(() => context.suites()), complaints };
}

/** Datasets with golden data; `undefined` where no ClickHouse can be asked, which a check of files must not need. */
async function datasetsStored(context: CliContext): Promise<Set<string> | undefined> {
  try {
    return new Set((await listDatasets(context.store())).map(({ dataset }) => dataset));
  } catch (error) {
    if (error instanceof LoopscopeError) return undefined;
    throw error;
  }
}

async function show(context: CliContext, name: string): Promise<void> {
  const entry = context.registry().loops.get(name);
  if (!entry) {
    const names = [...context.registry().loops.keys()].join(', ') || 'none';
    throw new LoopscopeError(
      'not_found',
      `No file in loops/ describes a loop "${name}". Registered: ${names}. Add loops/${name}.yaml to register it.`,
    );
  }
  const { definition, path } = entry;
  const history = await versionHistory(context, name);
  const version = versionOf(definition);
  const document = {
    path,
    version,
    definition,
    versions:
      history?.map((v) => ({
        version: v.version,
        seen_at: iso(v.seenAt),
        definition: JSON.parse(v.content),
      })) ?? null,
  };
  context.show(document, () => {
    for (const [what, text] of facts(definition, relative('', path), version))
      context.out.line(`${context.out.paint('dim', what.padEnd(11))} ${text}`);
    context.out.line();
    if (definition.agents.length > 0)
      for (const line of table(context.out.paint, AGENT_COLUMNS, definition.agents)) context.out.line(line);
    context.out.line();
    if (history === undefined)
      context.out.note('ClickHouse does not answer, so the history of its versions is not shown.');
    else if (history.length === 0)
      context.out.note('No version is stored yet: a gateway does that when it starts.');
    else for (const line of table(context.out.paint, VERSION_COLUMNS, history)) context.out.line(line);
  });
}

/** `undefined` where ClickHouse is away: the files are the registry, the history is extra. */
async function versionHistory(context: CliContext, loop: string): Promise<RegistryVersion[] | undefined> {
  try {
    return await versionsOf(context.store(), loop);
  } catch (error) {
    if (error instanceof LoopscopeError && error.code === 'store_unavailable') return undefined;
    throw error;
  }
}

function facts(loop: LoopDefinition, path: string, version: string): [string, string][] {
  return [
    ['loop', loop.loop],
    ['owner', loop.owner],
    ['file', path],
    ['version', version],
    ['schedule', loop.schedule ?? UNKNOWN],
    ['owns', loop.artifacts.owns.join(', ') || UNKNOWN],
    ['reads', loop.artifacts.reads.join(', ') || UNKNOWN],
    ['dataset', loop.dataset ?? UNKNOWN],
    ['suite', loop.suite ?? UNKNOWN],
    ['capture', loop.capture],
    ...(loop.description ? [['about', loop.description] as [string, string]] : []),
  ];
}

const AGENT_COLUMNS: readonly Column<LoopDefinition['agents'][number]>[] = [
  { header: 'agent', cell: (a) => a.name },
  { header: 'role', cell: (a) => a.role },
  { header: 'models', cell: (a) => a.models.join(', ') || 'any' },
  { header: 'verdict', cell: ({ verdict }) => (verdict ? JSON.stringify(verdict) : '') },
];

const VERSION_COLUMNS: readonly Column<RegistryVersion>[] = [
  { header: 'version', cell: (v) => v.version },
  { header: 'since (UTC)', cell: (v) => time(v.seenAt) },
];

function touches(context: CliContext, artifact: string): void {
  const definitions = [...context.registry().loops.values()].map((entry) => entry.definition);
  const owner = definitions.find((d) => d.artifacts.owns.includes(artifact));
  const readers = definitions.filter((d) => d.artifacts.reads.includes(artifact));
  if (!owner && readers.length === 0)
    throw new LoopscopeError(
      'not_found',
      `No loop owns or reads an artifact "${artifact}". Artifacts are listed in loops/*.yaml.`,
    );
  const short = (d: LoopDefinition) => ({ loop: d.loop, owner: d.owner });
  context.show({ artifact, owner: owner ? short(owner) : null, readers: readers.map(short) }, () => {
    const rows = [
      ...(owner ? [{ how: 'owns', ...short(owner) }] : []),
      ...readers.map((reader) => ({ how: 'reads', ...short(reader) })),
    ];
    const columns: Column<(typeof rows)[number]>[] = [
      { header: 'loop', cell: (r) => r.loop },
      { header: '', cell: (r) => r.how },
      { header: 'people', cell: (r) => r.owner },
    ];
    for (const line of table(context.out.paint, columns, rows)) context.out.line(line);
    if (!owner) context.out.note(`No loop owns "${artifact}": nobody here answers for it.`);
  });
}
