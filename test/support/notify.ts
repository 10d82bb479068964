import type { Item, Notice } from '../../evals/notify/receiver.ts';
import type { Severity } from '../../src/alert-settings.ts';
import { AlertSettings, type AlertsConfig, withSecrets } from '../../src/alert-settings.ts';
import { type Clock, systemClock } from '../../src/clock.ts';
import { type LoopDefinition, LoopDefinition as LoopSchema } from '../../src/registry/loop.ts';
import type { Alert, AlertChange, AlertHistory } from '../../src/store/alerts.ts';

/** Alerts, settings and notices as tests of notifications want them. */

/** The settings under `alerts` as they would be read from a file. */
export const alertSettings = (given: unknown = {}, env: Record<string, string> = {}): AlertsConfig =>
  withSecrets(AlertSettings.parse(given), env).alerts;

export const CAUSE = { dimension: 'model', from: 'gpt-4.1', to: 'gpt-4.1-nano' };
const START = Date.parse('2026-03-01T09:00:00.000Z');

/** An alert of the given loop, raised so many seconds after a fixed moment. */
export function alertOf(loop: string, given: Partial<Alert> = {}, afterS = 0): Alert {
  return {
    alert_id: `id-${loop}`,
    loop,
    kind: 'golden_drop',
    state: 'firing',
    started_at: new Date(START + afterS * 1000).toISOString(),
    change_at: new Date(START + afterS * 1000 - 600_000).toISOString(),
    change_at_run: 279,
    resolved_at: null,
    cause: CAUSE,
    evidence: {
      golden: { before: 0.91, after: 0.36 },
      checker_pass_rate: { before: 0.99, after: 0.95 },
      arl: 10_000,
      e_value: 40_000,
    },
    ...given,
  };
}

/** What stands in the store of an alert: raised at `firedS`, over at `overS`, in seconds after the fixed moment. */
export function historyOf(
  loop: string,
  firedS: number,
  overS?: number,
  given: Partial<Alert> = {},
): AlertHistory {
  const firing = { alert: alertOf(loop, given, firedS), at: START + firedS * 1000 };
  if (overS === undefined) return { firing, resolved: undefined };
  const recovered_at = new Date(START + overS * 1000).toISOString();
  const resolved: AlertChange = {
    at: START + overS * 1000,
    alert: {
      ...firing.alert,
      state: 'resolved',
      resolved_at: recovered_at,
      evidence: { ...firing.alert.evidence, recovered_at },
    },
  };
  return { firing, resolved };
}

/** The fixed moment and so many seconds, in milliseconds. */
export const at = (seconds: number): number => START + seconds * 1000;

export const itemFor = (
  { alert, at: found }: AlertChange,
  { severity = 'page', owner, team }: { severity?: Severity; owner?: string; team?: string } = {},
): Item => ({ alert, at: found, firstCause: alert.cause, severity, owner, team });

/** A notice of these loops: firing, or over. */
export function noticeOf(loops: readonly string[], over: readonly string[] = []): Notice {
  const members = loops.map((loop) => {
    const { firing, resolved } = historyOf(loop, 0, over.includes(loop) ? 60 : undefined);
    return itemFor(resolved ?? firing, { owner: 'platform', team: 'ml' });
  });
  return { key: 'k'.repeat(32), groupId: 'g'.repeat(32), changes: members, members };
}

/** A loop as its file would define it. */
export const loopOf = (given: Record<string, unknown>): LoopDefinition =>
  LoopSchema.parse({ loop: 'any', owner: 'platform', ...given });

/** A clock that goes `factor` times as fast as others: minutes of waiting are moments of a test. */
export function fastClock(factor: number): Clock {
  const clock = systemClock();
  const start = clock.now();
  return {
    ...clock,
    now: () => start + (clock.now() - start) * factor,
    sleep: (ms, signal) => clock.sleep(ms / factor, signal),
  };
}
