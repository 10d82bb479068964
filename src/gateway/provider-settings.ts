import { z } from 'zod';

/**
 * Providers by configuration: whoever speaks one of the APIs we read is one more entry under `providers`.
 *
 *     azure:  { base_url: https://NAME.openai.azure.com/openai/v1, api_key_env: AZURE_API_KEY, api_key_header: api-key }
 *     azure2: { base_url: https://NAME.openai.azure.com, …, api_key_header: api-key, query: { api-version: 2024-10-21 } }
 *     ollama: { base_url: http://localhost:11434/v1 }
 *     groq:   { base_url: https://api.groq.com/openai/v1, api_key_env: GROQ_API_KEY }
 */
export const ProviderSettings = z.strictObject({
  base_url: z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, '')),
  /** Whose API it speaks; its own for `openai` and `anthropic`, else OpenAI's. */
  api: z.enum(['openai', 'anthropic']).optional(),
  api_key_env: z.string().min(1).optional(),
  /** Header that carries the key as it is, where it is not the API's usual one. */
  api_key_header: z
    .string()
    .regex(/^[A-Za-z0-9-]+$/, 'expected a header name such as api-key')
    .transform((header) => header.toLowerCase())
    .optional(),
  /** Parameters added to every request that does not set them itself. */
  query: z.record(z.string().min(1), z.string()).optional(),
});

export type ProviderSettings = z.infer<typeof ProviderSettings>;

/** Names that paths use otherwise, and so are none for providers. */
export const RESERVED_NAMES: ReadonlySet<string> = new Set([
  'v1',
  'loops',
  'mcp',
  'healthz',
  'readyz',
  'metrics',
]);
