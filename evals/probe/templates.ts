import type { VerdictRule } from '../../src/registry/loop.ts';
import type { Store } from '../../src/store/client.ts';
import { newestFirstCall, type ProbeKind } from '../../src/store/probes.ts';
import { checkerRequest, makerRequest } from './recorded.ts';
import { asks, type ProbeRequest, type ProbeSettings, type ProbeTarget } from './settings.ts';
import { templateVersion } from './template.ts';

/** What each agent of a suite is asked, with the places that an item fills. */
export interface Template {
  kind: ProbeKind;
  agent: string;
  path: string;
  request: ProbeRequest;
  version: string;
}

/**
 * The templates of a suite's agents, and why one is not asked, in words. With `requestedModel` only those are asked that
 * ask for that model; without `rule` nobody could read what the checker says.
 */
export async function templatesOf(
  { loop, probe }: { loop: string; probe: ProbeSettings },
  rule: VerdictRule | undefined,
  { store, requestedModel }: { store: Store; requestedModel?: string | undefined },
): Promise<{ templates: Template[]; notes: string[] }> {
  const templates: Template[] = [];
  const notes: string[] = [];
  const add = async (kind: ProbeKind, target: ProbeTarget) => {
    const template = await templateOf(kind, target, loop, store);
    if (typeof template === 'string') notes.push(`The ${kind} is not asked: ${template}`);
    else if (requestedModel === undefined || template.request['model'] === requestedModel)
      templates.push(template);
    else notes.push(`The ${kind} is not asked: it does not ask for ${requestedModel}.`);
  };
  if (asks(probe)) await add('maker', probe);
  if (probe.checker && rule) await add('checker', probe.checker);
  if (probe.checker && !rule)
    notes.push(
      `The checker is not asked: loops/*.yaml does not say how to read the verdict of agent ${probe.checker.agent} of loop ${loop}.`,
    );
  return { templates, notes };
}

async function templateOf(
  kind: ProbeKind,
  { agent, request, path }: ProbeTarget,
  loop: string,
  store: Store,
): Promise<Template | string> {
  if (request) return { kind, agent, path, request, version: templateVersion(path, request) };
  const call = await newestFirstCall(store, { loop, agent });
  if (!call) return `agent ${agent} of loop ${loop} has made no call that could be asked again.`;
  const modelled = kind === 'maker' ? makerRequest(call) : checkerRequest(call);
  if (modelled.outcome === 'impossible') return modelled.reason;
  return { kind, agent, path: modelled.path, request: modelled.request, version: modelled.version };
}
