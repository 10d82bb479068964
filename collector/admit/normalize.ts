import { A } from '../../src/span/attributes.ts';
import { LIMITS } from '../../src/span/limits.ts';
import type { Attributes, Span } from '../../src/span/span.ts';
import {
  ALIASES,
  type Alias,
  CALL_ALIASES,
  CLAUDE_CODE_INPUT,
  ENTITY_NAME,
  type Form,
  type Kind,
  MARKERS,
  MEANINGS,
  type Meaning,
  OPENINFERENCE_KIND,
  OTHER,
  PROVIDER_INTERFACE,
  PROVIDERS,
  type Sum,
} from './conventions.ts';
import { addModels } from './models.ts';

/**
 * Makes spans of other people's instrumentation speak our vocabulary: what they say under other names is added under
 * ours, and they say which loop and run they belong to, so that a loop which never heard of us is seen like one behind
 * the gateway.
 *
 * Nothing that was sent is changed or removed, and nothing is made up: what nobody said stays unsaid. Keys come from
 * strangers: names are looked up and never taken apart, and nothing here takes longer than reading the span did.
 */

/** What the registry knows of a loop, as far as it is needed here. */
export interface KnownLoop {
  agents: readonly { name: string; role: string }[];
}

/** Asks the registry; `undefined` for a loop that nobody registered. */
export type FindLoop = (loop: string) => KnownLoop | undefined;

/**
 * Adds what is missing to a GenAI span and tells what it stands for; `undefined` for a span that is none, or one that
 * speaks our vocabulary already. Without `findLoop` nothing is said of being registered.
 */
export function normalize(span: Span, findLoop: FindLoop | undefined): Kind | undefined {
  const { attributes } = span;
  // Whatever says what it stands for is ours: the gateway's, or an imported record's.
  if (A.record in attributes || !MARKERS.some((name) => name in attributes)) return undefined;
  const { kind, operation } = meaningOf(attributes);
  const isRoot = span.parentSpanId === '';
  // A chain is a step of its framework; only the one that everything else is below is the workflow.
  add(attributes, A.operation, operation ?? (kind === 'chain' && isRoot ? 'invoke_workflow' : undefined));
  addAliases(attributes, ALIASES);
  addOwnName(span, kind);
  if (kind === 'call' || kind === 'request') {
    addAliases(attributes, CALL_ALIASES);
    addSum(attributes, CLAUDE_CODE_INPUT);
    addModels(attributes);
  }
  if (span.statusCode === 'Error') add(attributes, A.errorType, errorType(span));
  addIdentity(span, kind, isRoot, findLoop);
  return kind;
}

function meaningOf(attributes: Attributes): Meaning {
  for (const [name, values] of MEANINGS) {
    const value = attributes[name];
    const meaning = value === undefined ? undefined : values.get(value);
    if (meaning) return meaning;
  }
  // Conventions older than the name of the operation: a provider that was asked for a model.
  const askedModel =
    A.requestModel in attributes && ('gen_ai.system' in attributes || A.provider in attributes);
  return askedModel && !(A.operation in attributes) ? { kind: 'call' } : OTHER;
}

/** Adds under our names what is said under others; what is there under ours already stays. */
export function addAliases(attributes: Attributes, aliases: readonly Alias[]): void {
  for (const { to, from, form } of aliases) {
    if (to in attributes) continue;
    for (const name of from) {
      const sent = attributes[name];
      const value = sent === undefined ? undefined : FORMS[form](sent);
      if (value === undefined) continue;
      attributes[to] = value;
      break;
    }
  }
}

/** Adds several counts as one. */
export function addSum(attributes: Attributes, { to, first, others }: Sum): void {
  if (to in attributes || count(attributes[first]) === undefined) return;
  const total = [first, ...others].reduce((sum, name) => sum + BigInt(count(attributes[name]) ?? 0), 0n);
  attributes[to] = String(total);
}

const count = (sent: string | undefined) => (sent === undefined ? undefined : FORMS.count(sent));

/** What a value becomes; `undefined` where it says nothing. */
export const FORMS: Record<Form, (sent: string) => string | undefined> = {
  // Cut, two names could become one.
  name: (sent) => (sent !== '' && sent.length <= LIMITS.nameLengthMax ? sent : undefined),
  // `NaN` is what the AI SDK sends for a usage that the provider did not report.
  count: (sent) => (/^\d{1,18}$/.test(sent) ? sent : undefined),
  amount: (sent) => (/^\d{1,18}(\.\d{1,30})?(e-\d{1,2})?$/i.test(sent) ? sent : undefined),
  list: (sent) => (sent !== '' && sent.length <= LIMITS.nameLengthMax ? JSON.stringify([sent]) : undefined),
  provider: (sent) => {
    if (sent === '' || sent.length > LIMITS.nameLengthMax) return undefined;
    const name = sent.toLowerCase();
    const vendor = name.replace(PROVIDER_INTERFACE, '');
    return PROVIDERS.get(name) ?? PROVIDERS.get(vendor) ?? vendor;
  },
};

/** The names of agents and tools whose convention has no attribute for them. */
function addOwnName({ name, attributes }: Span, kind: Kind): void {
  const to = kind === 'agent' ? A.agentName : kind === 'tool' ? A.toolName : undefined;
  if (to === undefined || to in attributes) return;
  add(attributes, to, FORMS.name(attributes[ENTITY_NAME] ?? (OPENINFERENCE_KIND in attributes ? name : '')));
}

const EVENTS_READ_MAX = 16;

function errorType({ events, attributes }: Span): string | undefined {
  const exception = events.slice(0, EVENTS_READ_MAX).find((event) => event.name === 'exception');
  return FORMS.name(exception?.attributes['exception.type'] ?? attributes['exception.type'] ?? '');
}

/** Which loop and run the span belongs to, and what it is in it. */
function addIdentity(span: Span, kind: Kind, isRoot: boolean, findLoop: FindLoop | undefined): void {
  const { attributes, resource, traceId } = span;
  const loop = loopOf(attributes, resource);
  if (loop === undefined) return;
  attributes[A.loop] = loop;
  add(attributes, A.runId, FORMS.name(resource[A.runId] ?? '') ?? traceId);
  const known = findLoop?.(loop);
  if (findLoop) add(attributes, A.registered, String(known !== undefined));
  const record = recordOf(kind, isRoot);
  if (record === undefined) return;
  attributes[A.record] = record;
  if (kind !== 'chain') add(attributes, A.agentRole, roleOf(attributes, known));
}

/** The loop that a span or log record says it belongs to, or its resource, or the service of that name. */
export const loopOf = (attributes: Attributes, resource: Attributes): string | undefined =>
  FORMS.name(attributes[A.loop] ?? resource[A.loop] ?? serviceName(resource));

/** Whether what a span says is to be read as a GenAI span's: it is ours, of another convention, or Claude Code's. */
export const isGenAi = ({ name, attributes }: Pick<Span, 'name' | 'attributes'>): boolean =>
  A.record in attributes || MARKERS.some((marker) => marker in attributes) || name.startsWith('claude_code.');

/** `unknown_service:node` is what an SDK says that was told nothing; it would throw many loops together. */
export function serviceName(resource: Attributes): string {
  const name = resource['service.name'] ?? '';
  return name.startsWith('unknown_service') ? '' : name;
}

function recordOf(kind: Kind, isRoot: boolean): string | undefined {
  if (kind === 'call' || kind === 'request') return kind;
  if (kind === 'agent') return isRoot ? 'run' : 'agent';
  return kind === 'chain' && isRoot ? 'run' : undefined;
}

/** What the owner says an agent is; else a maker, unless the span names the agent above it. */
function roleOf(attributes: Attributes, known: KnownLoop | undefined): string {
  const agent = attributes[A.agentName];
  const role = known?.agents.find(({ name }) => name === agent)?.role;
  return role ?? (attributes[A.parentAgent] ? 'sub' : 'maker');
}

function add(attributes: Attributes, name: string, value: string | undefined): void {
  if (value !== undefined && !(name in attributes)) attributes[name] = value;
}
