import { z } from 'zod';
import { CalendarDate, type Retirement } from './calendar.ts';
import { fetchText } from './fetch.ts';
import type { ModelList } from './model-list.ts';

/**
 * Reads a provider's own list of models, for the shutdown dates in it. OpenAI's `GET /models` gives all at once, each with
 * an optional `shutdown_date` (`YYYY-MM-DD` or null); those who speak its language leave the field out. Anthropic's
 * `GET /v1/models` comes in pages and has no such field today; it is read all the same, should it get one.
 */
export type PollResult =
  | { outcome: 'read'; retirements: Retirement[] }
  | { outcome: 'failed'; reason: string };

const LIST_BYTES_MAX = 8 * 1024 * 1024;
const MODELS_MAX = 10_000;
const PAGES_MAX = 20;

const Page = z.object({
  data: z
    .array(z.object({ id: z.string().min(1).max(300), shutdown_date: z.unknown().optional() }))
    .max(MODELS_MAX),
  has_more: z.boolean().optional(),
  last_id: z.string().nullish(),
});

const isDate = (value: unknown): value is string => CalendarDate.safeParse(value).success;

/**
 * The dates in a list that was read to its end: half of one would look like dates that were taken back. `now` is in
 * milliseconds.
 */
export async function pollList(
  list: ModelList,
  { now, signal }: { now: number; signal: AbortSignal },
): Promise<PollResult> {
  const checked_at = new Date(now).toISOString().slice(0, 10);
  const said = {
    origin: 'list' as const,
    provider: list.provider,
    replacement: '',
    source: list.url,
    checked_at,
  };
  const retirements: Retirement[] = [];
  let after: string | undefined;
  for (let page = 0; page < PAGES_MAX; page++) {
    const query = new URLSearchParams({ ...list.query, ...(after !== undefined && { after_id: after }) });
    const url = query.size > 0 ? `${list.url}?${query}` : list.url;
    const answer = await fetchText(url, { headers: list.headers, bytesMax: LIST_BYTES_MAX, signal });
    if (answer.outcome === 'failed') return answer;
    const read = readPage(answer.text);
    if (!read) return { outcome: 'failed', reason: 'malformed' };
    for (const { id, shutdown_date } of read.data)
      if (isDate(shutdown_date)) retirements.push({ ...said, model: id, retires_at: shutdown_date });
    if (!list.isPaged || !read.has_more) return { outcome: 'read', retirements };
    if (!read.last_id || read.last_id === after) return { outcome: 'failed', reason: 'malformed' };
    after = read.last_id;
  }
  return { outcome: 'failed', reason: 'too_many_pages' };
}

function readPage(text: string): z.infer<typeof Page> | undefined {
  try {
    return Page.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
