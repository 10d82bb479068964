import { inputHash } from '../../src/records/normalize.ts';
import { A } from '../../src/span/attributes.ts';
import type { Attributes } from '../../src/span/span.ts';
import { REDACTED } from '../admit/content-names.ts';
import { ALIASES, MARKERS } from '../admit/conventions.ts';
import { addAliases, addSum, FORMS, loopOf } from '../admit/normalize.ts';
import { agentOf, type CodingAgent } from './agents.ts';
import type { LogRecord } from './record.ts';

/** Bit 0 of the trace flags. */
const SAMPLED = 1;

/**
 * Makes a log record speak our vocabulary, as spans do: what it says under other names is added under ours, and a
 * GenAI event, or a record of a resource that names its loop, says which loop and run it belongs to. Nothing else that
 * was sent is changed. Gives the coding agent that sent it, if one did.
 */
export function normalize(record: LogRecord): CodingAgent | undefined {
  const { attributes, source } = record;
  record.eventName = eventName(record);
  const agent = agentOf(record.eventName);
  if (agent) addAgentNames(attributes, agent);
  if (agent || isGenAi(record)) addAliases(attributes, ALIASES);
  if (agent) attributes[A.agentName] ??= agent.name;
  if (agent || isGenAi(record) || A.loop in attributes || A.loop in source.resource.attributes)
    addIdentity(record, agent);
  return agent;
}

/**
 * The protocol's field is newer than the attribute, and some fill it with the place in their source instead of the
 * event. Claude Code's attribute lacks the prefix, which its body has.
 */
function eventName({ eventName, attributes, body }: LogRecord): string {
  const said = attributes['event.name'];
  if (!said) return eventName;
  return agentOf(body) && body.endsWith(`.${said}`) ? body : said;
}

function addAgentNames(attributes: Attributes, { provider, aliases, sums, texts }: CodingAgent): void {
  addAliases(attributes, aliases);
  for (const sum of sums) addSum(attributes, sum);
  if (provider !== '') attributes[A.provider] ??= provider;
  for (const [from, to] of texts) {
    const text = attributes[from];
    if (!text || REDACTED.has(text)) continue;
    delete attributes[from];
    attributes[to] = text;
    if (to === A.inputText) attributes[A.inputHash] ??= inputHash(text);
  }
}

function addIdentity(record: LogRecord, agent: CodingAgent | undefined): void {
  const { attributes, traceId } = record;
  const resource = record.source.resource.attributes;
  const loop = loopOf(attributes, resource);
  if (loop === undefined) {
    delete attributes[A.loop];
    return;
  }
  attributes[A.loop] = loop;
  const session = agent && FORMS.name(attributes[agent.session] ?? '');
  // Where the agent sends its spans too, the run is their trace, as it is for every such span.
  const ofTrace = traceId !== '' && (!session || isTraced(record)) ? traceId : undefined;
  const run = FORMS.name(resource[A.runId] ?? '') ?? ofTrace ?? session;
  if (run !== undefined) attributes[A.runId] ??= run;
}

/** Whether a record speaks of a model's work. */
export const isGenAi = ({ eventName, attributes }: LogRecord): boolean =>
  eventName.startsWith('gen_ai.') || MARKERS.some((name) => name in attributes);

/** Whether it was recorded inside a span that its sender sends. */
export const isTraced = ({ traceId, flags }: LogRecord): boolean => traceId !== '' && (flags & SAMPLED) !== 0;
