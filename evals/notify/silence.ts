import { Cron } from 'croner';
import type { AlertsConfig, Maintenance } from '../../src/alert-settings.ts';
import type { Alert } from '../../src/store/alerts.ts';
import type { Silence } from '../../src/store/silences.ts';
import { matchesLoop } from './glob.ts';

/**
 * What is not to be told at a time: by the silences of the settings, by those that people made while it runs, and by
 * windows of maintenance. Pure functions of that time, so that it can be asked of the past too.
 */
export type Silencing = Pick<AlertsConfig, 'silences' | 'maintenance'> & { made: readonly Silence[] };

/** Which alerts are silenced at a time. */
export function silencedAt(
  at: number,
  { silences, maintenance, made }: Silencing,
): (alert: Pick<Alert, 'loop' | 'kind'>) => boolean {
  const inForce = [
    ...silences.filter(({ until }) => at < until),
    ...made.filter(({ from, until }) => from <= at && at < until),
    ...maintenance.filter((window) => isOpen(window, at)),
  ];
  return ({ loop, kind }) =>
    inForce.some(
      (one) => matchesLoop(one.loop, loop) && (one.kinds.length === 0 || one.kinds.some((k) => k === kind)),
    );
}

/** Whether a window that began at one of its times is still open. All are of one length, so the latest ends last. */
export function isOpen({ cron, timezone, duration_m }: Maintenance, at: number): boolean {
  // Croner looks back from whole seconds and leaves the second itself out.
  const from = new Date((Math.floor(at / 1000) + 1) * 1000);
  const [began] = new Cron(cron, { paused: true, timezone }).previousRuns(1, from);
  return began !== undefined && at < began.getTime() + duration_m * 60_000;
}
