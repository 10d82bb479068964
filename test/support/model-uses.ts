import { calendarOf, type Retirement } from '../../evals/models/calendar.ts';
import type { Circumstances } from '../../evals/models/findings.ts';
import type { Alert } from '../../src/store/alerts.ts';
import type { ModelUse } from '../../src/store/model-uses.ts';

/** Noon of a day in the future of nobody: what is judged depends on days. */
export const NOW = Date.parse('2026-11-26T12:00:00Z');
export const DAY = 86_400_000;

/** What a test says of a use; the rest is made up. Days are before `NOW`. */
export interface UseFacts extends Partial<ModelUse> {
  firstDay?: number;
  lastDay?: number;
}

export function use({ firstDay = 1, lastDay = 0, ...facts }: UseFacts): ModelUse {
  return {
    loop: 'l',
    provider: 'openai',
    requestedModel: 'gpt-4',
    servedModel: (facts.outcome ?? 'answered') === 'answered' ? 'gpt-4-0613' : '',
    outcome: 'answered',
    firstAt: NOW - firstDay * DAY,
    lastAt: NOW - lastDay * DAY,
    firstTraceId: 'first',
    lastTraceId: 'last',
    ...facts,
  };
}

export const retirement = (facts: Partial<Retirement>): Retirement => ({
  origin: 'shipped',
  provider: 'openai',
  model: 'gpt-4-0613',
  retires_at: '2026-12-16',
  replacement: 'gpt-5.6-sol',
  source: 'https://example.com/deprecations',
  checked_at: '2026-07-30',
  ...facts,
});

export const circumstances = (retirements: readonly Retirement[], now = NOW): Circumstances => ({
  calendar: calendarOf(retirements),
  noticeDays: [30, 7, 1],
  now,
});

/** The alerts after changes were appended: each in its newest state. */
export function apply(alerts: readonly Alert[], changes: readonly { alert: Alert }[]): Alert[] {
  const byId = new Map(alerts.map((alert) => [alert.alert_id, alert]));
  for (const { alert } of changes) byId.set(alert.alert_id, alert);
  return [...byId.values()];
}
