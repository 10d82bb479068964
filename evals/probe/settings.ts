import { z } from 'zod';
import { cron } from '../../src/registry/loop.ts';
import { type Placeholder, placeholdersIn } from './template.ts';

/**
 * What a suite says of probes: golden inputs that go through the loop's live maker and, right and wrong answers, through
 * its checker, by the gateway. A probe is one call: no tool loop follows, and no tool call in an answer is ever
 * executed. Still an agent that has tools is probed only where its owner says that asking it has no side effect.
 */

/** Fields by which a request lets a model act. */
const TOOL_FIELDS = ['tools', 'functions', 'mcp_servers', 'web_search_options'];

const Request = z.record(z.string(), z.json());

const target = {
  /** The body of the request, with `{{input}}` and `{{output}}` where those go: inside of its texts. */
  request: Request.optional(),
  /** Modelled on the first call that the agent made in its newest run, see recorded.ts. */
  from: z.literal('recorded').optional(),
  /** Where an explicit request goes, below the gateway: `/v1/chat/completions`, `/v1/messages`, `/{provider}/v1/…`. */
  path: z
    .string()
    .regex(/^\/[\x21-\x7e]*$/, 'expected a path such as /v1/chat/completions')
    .default('/v1/chat/completions'),
};

export const ProbeSettings = z
  .strictObject({
    ...target,
    agent: z.string().min(1).default('maker'),
    /** The same for the checker; it is shown an item's input, and its expected answer or that of another item. */
    checker: z.strictObject({ ...target, agent: z.string().min(1) }).optional(),
    items_per_day: z.number().int().min(1).max(10_000).default(20),
    items_per_model_change: z.number().int().min(1).max(1_000).default(50),
    /** The day's items are spread over the times it is due; in the suite's time zone. */
    schedule: cron
      .refine((pattern) => pattern.trim().split(/\s+/).length <= 5, 'expected a pattern without seconds')
      .default('0 */3 * * *'),
    /** Asks at once when another model answers for the loop than before. */
    on_model_change: z.boolean().default(true),
    /** Says of agents with tools that asking them changes nothing in the world. */
    side_effect_free: z.boolean().default(false),
    /** Names the variable with the virtual key, or the provider's, that probes are sent with. */
    key_env: z.string().min(1).optional(),
    /** What a job has not asked by then it leaves out. */
    deadline_s: z.number().min(1).max(3_600).default(600),
  })
  .superRefine((probe, context) => {
    const complain = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
    if (!asks(probe) && probe.checker === undefined)
      complain([], 'expected request or from: recorded for the maker, or a checker, or both');
    if (probe.checker && !asks(probe.checker)) complain(['checker'], 'expected request, or from: recorded');
    checkTarget(probe, 'input', [], probe.side_effect_free, complain);
    if (probe.checker) checkTarget(probe.checker, 'output', ['checker'], probe.side_effect_free, complain);
  });

export type ProbeSettings = z.infer<typeof ProbeSettings>;
export type ProbeTarget = Pick<ProbeSettings, 'request' | 'from' | 'path' | 'agent'>;
export type ProbeRequest = z.infer<typeof Request>;

/** Whether the settings say what to ask an agent. */
export const asks = ({ request, from }: Pick<ProbeTarget, 'request' | 'from'>): boolean =>
  request !== undefined || from !== undefined;

function checkTarget(
  { request, from }: Pick<ProbeTarget, 'request' | 'from'>,
  needs: Placeholder,
  at: string[],
  sideEffectFree: boolean,
  complain: (path: string[], message: string) => void,
): void {
  if (request && from) complain([...at, 'from'], 'expected request or from, not both');
  if (!request) return;
  const path = [...at, 'request'];
  if (!placeholdersIn(request).has(needs))
    complain(path, `expected {{${needs}}} in one of its texts, where the ${needs} goes`);
  if (request['stream'] === true) complain(path, 'expected no stream: a probe reads an answer as a whole');
  const acting = TOOL_FIELDS.filter((field) => request[field] !== undefined);
  if (acting.length > 0 && !sideEffectFree)
    complain(
      path,
      `it lets the model use ${acting.join(', ')}; take them out, or say side_effect_free: true if asking changes nothing`,
    );
}
