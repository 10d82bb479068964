import { contentHash } from '../../records/normalize.ts';
import type { Message, ModelCall } from '../recording.ts';
import { isSystem, systemText } from './message-parts.ts';
import type { FreshCall } from './ports.ts';

/** What is to be other than it was. */
export interface Overrides {
  /** Of the maker. */
  model?: string | undefined;
  prompt?: string | undefined;
  /** Definitions as its API has them, as JSON. */
  tools?: string | undefined;
  parameters?: Readonly<Record<string, string | number | boolean>> | undefined;
  /** A checker's prompt, by its name. */
  checkers?: Readonly<Record<string, string>> | undefined;
}

/** Characters of the hashes that stand for a prompt's or a tool list's version, as the gateway has them. */
const VERSION_CHARS = 12;

export const isMaker = ({ role }: Pick<ModelCall, 'role'>): boolean => role === 'maker' || role === '';

export const isOverridden = (overrides: Overrides): boolean =>
  Object.values(overrides).some((value) => value !== undefined && Object.keys(Object(value)).length > 0);

/** The opening of a conversation, with another prompt where one is to be tried. */
export function openingWith(
  overrides: Overrides,
  step: Pick<ModelCall, 'agent' | 'role'>,
  input: readonly Message[],
): Message[] {
  const prompt = promptFor(overrides, step);
  if (prompt === undefined) return [...input];
  const at = input.findIndex(isSystem);
  const system: Message = {
    role: at === -1 ? 'system' : input[at]!.role,
    parts: [{ type: 'text', content: prompt }],
  };
  return [system, ...input.filter((message) => !isSystem(message))];
}

const promptFor = (
  { prompt, checkers = {} }: Overrides,
  step: Pick<ModelCall, 'agent' | 'role'>,
): string | undefined => {
  if (step.role === 'checker') return Object.hasOwn(checkers, step.agent) ? checkers[step.agent] : undefined;
  return isMaker(step) ? prompt : undefined;
};

/** A recorded call as it is to be asked now, with the history that the replay has come to. */
export function callWith(overrides: Overrides, step: ModelCall, input: Message[]): FreshCall {
  const { agent, role, parentAgent, provider, api, stream } = step;
  const own: Overrides = isMaker(step) ? overrides : {};
  return {
    agent,
    role,
    parentAgent,
    provider,
    api,
    stream,
    model: own.model ?? step.model,
    parameters: own.parameters ? { ...step.parameters, ...own.parameters } : step.parameters,
    toolDefinitions: own.tools ?? step.toolDefinitions,
    input,
  };
}

/** The versions of what a call was made with: as recorded where it is as recorded. */
export function versionsOf(
  call: FreshCall,
  recorded: ModelCall,
): Pick<ModelCall, 'promptVersion' | 'toolsVersion'> {
  const system = systemText(call.input);
  const isSame = recorded.input !== null && system === systemText(recorded.input);
  const isSameTools = call.toolDefinitions === recorded.toolDefinitions;
  return {
    promptVersion: isSame ? recorded.promptVersion : versionOf(system),
    toolsVersion: isSameTools ? recorded.toolsVersion : versionOf(call.toolDefinitions),
  };
}

export const versionOf = (text: string | null): string | null =>
  text ? contentHash(text).slice(0, VERSION_CHARS) : null;
