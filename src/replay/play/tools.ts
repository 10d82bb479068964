import { LoopscopeError } from '../../errors.ts';
import type { LoopDefinition } from '../../registry/loop.ts';
import type { Recording } from '../recording.ts';
import { delegations } from './delegation.ts';

/**
 * What a replay may carry out. A tool is carried out only where the registry marks it safe, or the caller names it among
 * the writes that are allowed: by exactly its name. Another case, a character that looks the same, a space at the end are
 * other names, and other names are not safe.
 */
export interface ToolGuard {
  allows(tool: string): boolean;
  /** What a person is told of those that are not allowed. */
  refusal(tools: readonly string[]): string;
}

export type ToolDefinition = LoopDefinition['tools'][number];

export function toolGuard(
  loop: string,
  tools: readonly ToolDefinition[],
  allowWrites: readonly string[],
): ToolGuard {
  const unsafe = new Set(tools.filter(({ safe }) => !safe).map(({ name }) => name));
  // One that stands there twice, once as safe, is not.
  const safe = tools.map(({ name }) => name).filter((name) => !unsafe.has(name));
  const allowed = new Set([...allowWrites, ...safe]);
  return {
    allows: (tool) => allowed.has(tool),
    refusal: (names) =>
      `${list(names)} ${names.length === 1 ? 'is' : 'are'} not marked safe in the registry, and a replay changes nothing by itself. ` +
      `Mark what only reads in loops/${loop}.yaml (\`tools: [{ name: ${shown(names[0]!)}, safe: true }]\`), ` +
      `or name it: --allow-writes ${names.map(shown).join(',')}`,
  };
}

/** Names are told as what they are, character by character: one may be made to look like another. */
const quoted = (name: string): string =>
  JSON.stringify(name).replaceAll(
    /[^\x20-\x7e]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
const list = (names: readonly string[]) => names.map(quoted).join(', ');
const shown = (name: string) => (/^[\w.-]+$/.test(name) ? name : quoted(name));

/** The tools that a run used, each once. */
export const usedTools = ({ steps }: Pick<Recording, 'steps'>): string[] => [
  ...new Set(steps.flatMap((step) => (step.kind === 'tool' ? [step.tool] : []))),
];

/**
 * Refuses to carry out a run's tools live before anything is asked: those that are not allowed, and those that the registry
 * gives no command for.
 */
export function requireLive(
  recording: Recording,
  guard: ToolGuard,
  tools: readonly ToolDefinition[] | undefined,
): void {
  const delegated = delegations(recording);
  const steps = recording.steps.filter((_, i) => !delegated.has(i));
  const used = usedTools({ steps });
  const unsafe = used.filter((tool) => !guard.allows(tool));
  if (unsafe.length > 0) throw new LoopscopeError('replay_refused', guard.refusal(unsafe));
  const without = tools
    ? used.filter((tool) => !tools.some(({ name, command }) => name === tool && command))
    : [];
  if (without.length > 0)
    throw new LoopscopeError(
      'replay_refused',
      `${list(without)} cannot be carried out: loops/${recording.loop}.yaml gives no command for it. ` +
        `Add \`tools: [{ name: ${shown(without[0]!)}, safe: true, command: [node, ./tool.js] }]\`, ` +
        'or replay your own loop (`-- node my-loop.js`), which carries its tools out itself.',
    );
}
