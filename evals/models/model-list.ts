import type { ProviderConfig } from '../../src/config.ts';

/** Where a provider lists its models, and how it is asked. */
export interface ModelList {
  /** The provider's name in spans and in the calendar. */
  provider: string;
  url: string;
  query: Readonly<Record<string, string>>;
  headers: Readonly<Record<string, string>>;
  isPaged: boolean;
}

/** A provider's settings, as far as they matter here. */
export interface ListSettings extends ProviderConfig {
  api?: 'openai' | 'anthropic' | undefined;
  api_key_header?: string | undefined;
  query?: Readonly<Record<string, string>> | undefined;
}

const ANTHROPIC_VERSION = '2023-06-01';
/** The most that Anthropic gives a page. */
const PAGE_MODELS = '1000';

/** The list of the provider that the settings call `name`; `undefined` without a key. */
export function modelListOf(name: string, settings: ListSettings): ModelList | undefined {
  const { base_url, api, api_key: key, query = {} } = settings;
  if (!key) return undefined;
  const provider = OWN_HOSTS[new URL(base_url).hostname] ?? name;
  const isAnthropic = provider === 'anthropic' || api === 'anthropic';
  const keyHeader = settings.api_key_header ?? (isAnthropic ? 'x-api-key' : 'authorization');
  return {
    provider,
    url: `${base_url}${isAnthropic ? '/v1/models' : '/models'}`,
    query: isAnthropic ? { ...query, limit: PAGE_MODELS } : query,
    headers: {
      [keyHeader]: keyHeader === 'authorization' ? `Bearer ${key}` : key,
      ...(isAnthropic && { 'anthropic-version': ANTHROPIC_VERSION }),
    },
    isPaged: isAnthropic,
  };
}

/** Whatever an account there is called. */
const OWN_HOSTS: Readonly<Record<string, string>> = {
  'api.openai.com': 'openai',
  'api.anthropic.com': 'anthropic',
};
