import { anthropic } from './anthropic.ts';
import { openai } from './openai.ts';
import type { Api, Protocol } from './protocol.ts';
import type { ProviderSettings } from './provider-settings.ts';

/** What the rest of the gateway asks of a provider's API. */
export interface ProviderApi {
  readonly protocol: Protocol;
  /** `gen_ai.provider.name` */
  readonly telemetryName: string;
  /** As in `Protocol`, for this provider. */
  readonly keyHeaders: readonly string[];
  keyHeaderValue(key: string): string;
  /** The query of a request, `''` or with its `?`, and in it what is configured for all. */
  query(asked: string): string;
}

/** The API of a provider: its own for `openai` and `anthropic`, and OpenAI's where nothing is said. */
export const apiOf = (name: string, api: Api | undefined): Api =>
  name === 'anthropic' || name === 'openai' ? name : (api ?? 'openai');

export function providerApi(
  name: string,
  settings: Pick<ProviderSettings, 'base_url' | 'api' | 'api_key_header' | 'query'>,
): ProviderApi {
  const protocol = apiOf(name, settings.api) === 'anthropic' ? anthropic : openai;
  const header = settings.api_key_header;
  const fixed = Object.entries(settings.query ?? {}).map(([parameter, value]) => ({
    parameter,
    text: `${encodeURIComponent(parameter)}=${encodeURIComponent(value)}`,
  }));
  return {
    protocol,
    telemetryName: telemetryName(name, settings.base_url),
    keyHeaders: header
      ? [header, ...protocol.keyHeaders.filter((other) => other !== header)]
      : protocol.keyHeaders,
    keyHeaderValue: header === undefined ? protocol.keyHeaderValue : valueFor(header),
    query: fixed.length === 0 ? (asked) => asked : (asked) => withParameters(asked, fixed),
  };
}

const valueFor = (header: string) =>
  header === 'authorization' ? (key: string) => `Bearer ${key}` : (key: string) => key;

function withParameters(asked: string, fixed: readonly { parameter: string; text: string }[]): string {
  const set = new URLSearchParams(asked);
  const added = fixed.filter(({ parameter }) => !set.has(parameter)).map(({ text }) => text);
  if (added.length === 0) return asked;
  return `${asked.length > 1 ? `${asked}&` : '?'}${added.join('&')}`;
}

/** Hosts of providers that the GenAI conventions have a word for. */
const HOSTS: readonly [RegExp, string][] = [
  [/^api\.openai\.com$/, 'openai'],
  [/\.(openai|cognitiveservices)\.azure\.com$/, 'azure.ai.openai'],
  [/\.(services\.ai|inference\.ai|models\.ai)\.azure\.com$/, 'azure.ai.inference'],
  [/^api\.anthropic\.com$/, 'anthropic'],
  [/^bedrock[a-z-]*\..*\.(amazonaws\.com|api\.aws)$/, 'aws.bedrock'],
  [/^generativelanguage\.googleapis\.com$/, 'gcp.gemini'],
  [/(^|-)aiplatform\.googleapis\.com$/, 'gcp.vertex_ai'],
  [/^api\.groq\.com$/, 'groq'],
  [/(^|\.)mistral\.ai$/, 'mistral_ai'],
  [/^api\.deepseek\.com$/, 'deepseek'],
  [/^api\.perplexity\.ai$/, 'perplexity'],
  [/^api\.cohere\.(com|ai)$/, 'cohere'],
  [/^api\.moonshot\.(ai|cn)$/, 'moonshot_ai'],
  [/^api\.x\.ai$/, 'x_ai'],
  [/\.ml\.cloud\.ibm\.com$/, 'ibm.watsonx.ai'],
];

/** What people call such a provider where its host does not tell, as behind a proxy. */
const NAMES = new Map([
  ['azure', 'azure.ai.openai'],
  ['bedrock', 'aws.bedrock'],
  ['gemini', 'gcp.gemini'],
  ['vertex', 'gcp.vertex_ai'],
  ['mistral', 'mistral_ai'],
  ['moonshot', 'moonshot_ai'],
  ['xai', 'x_ai'],
]);

/** `gen_ai.provider.name`: the conventions' word where there is one, else the name in the settings. */
export function telemetryName(name: string, baseUrl: string): string {
  const { hostname } = new URL(baseUrl);
  return HOSTS.find(([host]) => host.test(hostname))?.[1] ?? NAMES.get(name) ?? name;
}
