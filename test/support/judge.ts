import type { ScorerServices } from '../../evals/scorers/services.ts';
import { seededRandom } from '../../src/clock.ts';
import {
  type Answer,
  anthropicMessage,
  chatCompletion,
  json,
  type ProviderRequest,
} from './scripted-provider.ts';

/** A judge's answer by OpenAI's chat API: a verdict, or any text in its place. */
export const judgeSays = (verdict: object | string, more: Record<string, unknown> = {}): Answer =>
  json(chatCompletion(typeof verdict === 'string' ? verdict : JSON.stringify(verdict), more));

/** The same by Anthropic's messages API, as a tool call. */
export const judgeCalls = (input: object, more: Record<string, unknown> = {}): Answer =>
  json(
    anthropicMessage('', {
      content: [{ type: 'tool_use', id: 'toolu_1', name: 'verdict', input }],
      stop_reason: 'tool_use',
      ...more,
    }),
  );

/** What the judge was asked, as a JSON body. */
export const asked = (request: ProviderRequest | undefined) =>
  JSON.parse(String(request?.body)) as {
    model: string;
    messages: { role: string; content: string }[];
    [field: string]: unknown;
  };

/** A clock whose waits are over at once and are kept, and variables as given. */
export function judgeServices(
  gatewayUrl: string,
  variables: Record<string, string> = { LOOPSCOPE_JUDGE_KEY: 'lsk_judge' },
): { services: ScorerServices; waits: number[] } {
  const waits: number[] = [];
  const random = seededRandom(7);
  let now = 0;
  const clock = {
    now: () => now,
    nowNs: () => BigInt(now) * 1_000_000n,
    sleep: async (ms: number) => {
      waits.push(ms);
      now += ms;
    },
    random,
    randomHex: (n: number) =>
      Array.from({ length: n }, () =>
        Math.floor(random() * 256)
          .toString(16)
          .padStart(2, '0'),
      ).join(''),
  };
  return { services: { clock, keyOf: (name) => variables[name], gatewayUrl }, waits };
}
