import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { LoopscopeError } from '../errors.ts';
import { readYamlFile } from '../yaml-file.ts';
import { LoopDefinition } from './loop.ts';

/** A loop and the file that describes it. */
export interface RegisteredLoop {
  definition: LoopDefinition;
  path: string;
}

/** The inventory: every loop that has a file in `loops/`. */
export interface Registry {
  readonly loops: ReadonlyMap<string, RegisteredLoop>;
  /** The definition of a loop, `undefined` where nobody registered it. */
  loop(name: string): LoopDefinition | undefined;
}

/**
 * Reads `loops/*.yaml` under `directory`; without that folder the registry is empty. Throws `config_invalid`
 * with every complaint of every file, a line each: a wrong field, a loop or an agent described twice, an
 * artifact with two owners.
 */
export function loadRegistry(directory: string): Registry {
  const complaints: string[] = [];
  const loops = new Map<string, RegisteredLoop>();
  const owners = new Map<string, RegisteredLoop>();
  for (const path of yamlFiles(join(directory, 'loops'))) {
    let definition: LoopDefinition;
    try {
      definition = readYamlFile(path, LoopDefinition);
    } catch (error) {
      if (!(error instanceof LoopscopeError)) throw error;
      complaints.push(error.message);
      continue;
    }
    const entry = { definition, path };
    const first = loops.get(definition.loop);
    if (first) {
      complaints.push(
        `${at(path, ['loop'])}: loop "${definition.loop}" is already described in ${at(first.path, ['loop'])}. Rename one of them, or remove a file.`,
      );
      continue;
    }
    loops.set(definition.loop, entry);
    complaints.push(...repeatedAgents(entry), ...contestedArtifacts(entry, owners));
  }
  if (complaints.length > 0) throw new LoopscopeError('config_invalid', complaints.join('\n'));
  return { loops, loop: (name) => loops.get(name)?.definition };
}

/** The YAML files of a folder in the order of their names; none where there is no such folder. */
function yamlFiles(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => /\.ya?ml$/.test(file))
    .sort()
    .map((file) => join(folder, file));
}

function repeatedAgents({ definition, path }: RegisteredLoop): string[] {
  const seen = new Map<string, number>();
  return definition.agents.flatMap(({ name }, index) => {
    const first = seen.get(name);
    if (first === undefined) {
      seen.set(name, index);
      return [];
    }
    const field = ['agents', index, 'name'];
    return [
      `${at(path, field)}: agents.${index}.name: agent "${name}" is already described in ${at(path, ['agents', first, 'name'])}. An agent's name says who called, so each needs its own.`,
    ];
  });
}

function contestedArtifacts(entry: RegisteredLoop, owners: Map<string, RegisteredLoop>): string[] {
  return entry.definition.artifacts.owns.flatMap((artifact, index) => {
    const owner = owners.get(artifact);
    if (owner === undefined || owner === entry) {
      owners.set(artifact, entry);
      return [];
    }
    const theirs = ['artifacts', 'owns', owner.definition.artifacts.owns.indexOf(artifact)];
    return [
      `${at(entry.path, ['artifacts', 'owns', index])}: artifacts.owns: "${artifact}" is already owned by loop "${owner.definition.loop}" (${at(owner.path, theirs)}). An artifact has one owner; list it under reads.`,
    ];
  });
}

/** `file:line` of a field. Reads the file again: only complaints need it. */
function at(path: string, field: readonly (string | number)[]): string {
  const lineCounter = new LineCounter();
  const node = parseDocument(readFileSync(path, 'utf8'), { lineCounter }).getIn(field, true) as
    | { range?: [number, number, number] }
    | undefined;
  return `${path}:${node?.range ? lineCounter.linePos(node.range[0]).line : 1}`;
}
