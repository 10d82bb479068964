import type { Clock } from '../../clock.ts';
import type { Config } from '../../config.ts';
import { anthropic } from '../../gateway/anthropic.ts';
import { openai } from '../../gateway/openai.ts';
import type { Prices } from '../../gateway/price.ts';
import type { Protocol, Usage } from '../../gateway/protocol.ts';
import { providerApi } from '../../gateway/provider-api.ts';
import { apiOf, WIRES } from './answers.ts';
import { providerTools } from './asked-tools.ts';
import { callGateway, type ReplayTarget } from './gateway-call.ts';
import type { Answered, ModelPort } from './ports.ts';
import type { ToolGuard } from './tools.ts';

/** A model that is asked anew, through the gateway: the same routing, limits and budgets as the loop's own calls. */
export interface GatewayModelOptions extends ReplayTarget {
  prices: Pick<Prices, 'costUsd'>;
  clock: Clock;
  guard: ToolGuard;
  /** The gateway's name for a provider, which spans may call by another. */
  providerName: (provider: string) => string;
}

export function gatewayModel(options: GatewayModelOptions): ModelPort {
  const { clock, prices, guard, providerName } = options;
  return async (call): Promise<Answered> => {
    const api = apiOf(call);
    const wire = WIRES[api];
    const protocol = api === 'messages' ? anthropic : openai;
    const provider = providerName(call.provider || (api === 'messages' ? 'anthropic' : 'openai'));
    const body = wire.request(call);
    const withheld = providerTools(api, body as Record<string, unknown>).filter(
      (tool) => !guard.allows(tool),
    );
    if (withheld.length > 0)
      return { outcome: 'failed', error: 'tool_withheld', message: guard.refusal(withheld) };
    const startedAt = clock.now();
    const sent = await callGateway(options, call, {
      provider,
      path: wire.path,
      ...(api === 'messages' && { headers: { 'anthropic-version': '2023-06-01' } }),
      body: JSON.stringify(body),
    });
    if (sent.outcome === 'failed') return { outcome: 'failed', error: 'unreachable', message: sent.message };
    const { status, body: said } = sent.answer;
    const json = parse(said);
    if (status !== 200) return { outcome: 'failed', ...refusal(protocol, status, json, said) };
    const facts = protocol.operation('POST', wire.path)!.readAnswer(json);
    if (!facts.complete)
      return {
        outcome: 'failed',
        error: facts.errorType ?? 'answer_unreadable',
        message: `${call.model} did not answer as its API does: ${shown(said)}`,
      };
    return {
      outcome: 'answered',
      match: undefined,
      answer: {
        output: facts.messages(),
        servedModel: facts.model ?? null,
        finishReasons: facts.finishReasons,
        inputTokens: facts.usage.inputTokens ?? null,
        outputTokens: facts.usage.outputTokens ?? null,
        costUsd: costOf(prices, provider, facts.model ?? call.model, facts.usage, clock),
        durationMs: clock.now() - startedAt,
        firstChunkMs: null,
      },
    };
  };
}

export const costOf = (
  prices: Pick<Prices, 'costUsd'>,
  provider: string,
  model: string,
  usage: Usage,
  clock: Clock,
): number | null => prices.costUsd(provider, model, usage, clock.now()) ?? null;

const SHOWN_CHARS_MAX = 300;
const shown = (body: Buffer): string => body.toString('utf8').slice(0, SHOWN_CHARS_MAX);

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

function refusal(protocol: Protocol, status: number, json: unknown, body: Buffer) {
  return {
    error: protocol.readError(json) ?? String(status),
    message: `The provider answered ${status}: ${shown(body)}`,
  };
}

/** The name that a provider has in the settings, by the one that its spans have for it. */
export function providerNames(providers: Config['providers']): (provider: string) => string {
  const names = new Map(
    Object.entries(providers).map(([name, settings]) => [providerApi(name, settings).telemetryName, name]),
  );
  return (provider) => (Object.hasOwn(providers, provider) ? provider : (names.get(provider) ?? provider));
}
