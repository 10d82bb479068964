import { readFileSync } from 'node:fs';
import { LoopscopeError } from '../errors.ts';
import { isOverridden, type Overrides } from '../replay/play/overrides.ts';
import { MODES, type Mode } from '../replay/play/ports.ts';

/** The options of `replay` as they are typed, and what they mean. */
export interface ReplayOptions {
  loop?: string;
  mode?: string;
  model?: string;
  prompt?: string;
  checker?: string[];
  param?: string[];
  until?: number;
  times: number;
  strict?: boolean;
  rule?: string[];
  allowWrites?: string;
  paced?: boolean;
  keyEnv: string;
}

/** Throws `usage`. */
export function readMode({ mode }: ReplayOptions, overrides: Overrides): Mode {
  const known = MODES.find((name) => name === mode);
  if (mode !== undefined && !known)
    throw new LoopscopeError('usage', `--mode: expected exact, model or live; got ${JSON.stringify(mode)}.`);
  if (known === 'exact' && isOverridden(overrides))
    throw new LoopscopeError(
      'usage',
      'With --mode exact every answer comes from the record, and nothing can be other than it was: leave out --model, --prompt, --checker and --param, or say --mode model.',
    );
  return known ?? (isOverridden(overrides) ? 'model' : 'exact');
}

/** Throws `usage`, and `bad_input` for a file that cannot be read. */
export function readOverrides({ model, prompt, checker = [], param = [] }: ReplayOptions): Overrides {
  const checkers = checker.map((text) => pair('--checker', text, 'reviewer=reviewer.md'));
  const parameters = param.map((text) => pair('--param', text, 'temperature=0'));
  return {
    model,
    prompt: prompt === undefined ? undefined : readText('--prompt', prompt),
    checkers:
      checkers.length === 0
        ? undefined
        : Object.fromEntries(checkers.map(([agent, file]) => [agent, readText('--checker', file)])),
    parameters:
      parameters.length === 0
        ? undefined
        : Object.fromEntries(parameters.map(([name, value]) => [name, readValue(value)])),
  };
}

function pair(option: string, text: string, example: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1)
    throw new LoopscopeError(
      'usage',
      `${option}: expected NAME=VALUE, such as ${example}; got ${JSON.stringify(text)}.`,
    );
  return [text.slice(0, at), text.slice(at + 1)];
}

function readValue(text: string): string | number | boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  const number = Number(text);
  return text.trim() !== '' && Number.isFinite(number) ? number : text;
}

function readText(option: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new LoopscopeError('bad_input', `${option}: cannot read ${file}: ${(error as Error).message}`);
  }
}

/** Names of tools, as `--allow-writes` has them. */
export const readWrites = ({ allowWrites = '' }: ReplayOptions): string[] =>
  allowWrites
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
