import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { contentHash } from '../../src/records/normalize.ts';
import type { CalendarOrigin, CalendarRow } from '../../src/store/model-events.ts';

/**
 * Known retirements of models. Three sources say them: what ships with the program (`calendar.json`), the operator's
 * own file or URL in the same format, and the providers' model lists. Of two that speak of the same model, the later
 * in that order is believed.
 */

/** `YYYY-MM-DD`, within what the tables can hold. */
export const CalendarDate = z.iso
  .date()
  .refine((day) => day >= '2000' && day < '2200', 'expected a date of this century or the next');
const text = z.string().min(1).max(300);

/** The format of `calendar.json` and of what `model_watch.calendar` names. */
export const CalendarFile = z.strictObject({
  models: z
    .array(
      z.strictObject({
        provider: text,
        model: text,
        /** The first day on which it may be gone. */
        retires_at: CalendarDate,
        /** What its provider recommends instead. */
        replacement: text.optional(),
        /** Where it is said. */
        source: z.url({ protocol: /^https?$/ }).max(1_000),
        /** When that was read. */
        checked_at: CalendarDate,
      }),
    )
    .max(10_000),
});

/** What is known of a model's end. Dates are `YYYY-MM-DD`. */
export type Retirement = CalendarRow;

/** A calendar to look things up in. */
export interface Calendar {
  /** Changes with every fact in it, but not with when it was read. */
  version: string;
  rows: readonly Retirement[];
  /** The retirement of a model; of any provider's where who answered is not known. */
  find(provider: string, model: string): Retirement | undefined;
}

/** Reads a calendar's text. The message of what it throws says what is wrong with it. */
export function parseCalendar(json: string, origin: CalendarOrigin): Retirement[] {
  const parsed = CalendarFile.safeParse(JSON.parse(json));
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw new Error(`${path.join('.') || '(top level)'}: ${message}`);
  }
  return parsed.data.models.map(({ replacement = '', ...row }) => ({ ...row, replacement, origin }));
}

/** What ships with the program. */
export const shippedCalendar = (): Retirement[] =>
  parseCalendar(readFileSync(new URL('calendar.json', import.meta.url), 'utf8'), 'shipped');

/** Makes one calendar of several; later ones win. */
export function calendarOf(...sources: readonly (readonly Retirement[])[]): Calendar {
  const byModel = new Map<string, Retirement>();
  const byNameAlone = new Map<string, Retirement>();
  for (const said of sources.flat()) {
    const key = keyOf(said.provider, said.model);
    // A model list has dates only: what to use instead is known from elsewhere.
    const row =
      said.replacement === '' ? { ...said, replacement: byModel.get(key)?.replacement ?? '' } : said;
    byModel.set(key, row);
    byNameAlone.set(row.model, row);
  }
  const rows = [...byModel].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  const facts = rows.map(({ checked_at: _, ...fact }) => fact);
  return {
    version: contentHash(JSON.stringify(facts)),
    rows,
    find: (provider, model) =>
      provider === '' ? byNameAlone.get(model) : byModel.get(keyOf(provider, model)),
  };
}

/** Providers go by several names: the conventions', those of the settings, those of their own pages. */
const SAME_PROVIDER: Readonly<Record<string, string>> = {
  'gcp.gemini': 'google',
  'gcp.gen_ai': 'google',
  gemini: 'google',
  x_ai: 'xai',
  mistral_ai: 'mistral',
};

const keyOf = (provider: string, model: string) => {
  const name = provider.toLowerCase();
  return `${Object.hasOwn(SAME_PROVIDER, name) ? SAME_PROVIDER[name] : name}\0${model}`;
};
