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

export function isSilenced(
  { loop, kind }: Pick<Alert, 'loop' | 'kind'>,
  at: number,
  { silences, maintenance, made }: Silencing,
): boolean {
  const covers = (one: { loop: string; kinds: readonly string[] }) =>
    matchesLoop(one.loop, loop) && (one.kinds.length === 0 || one.kinds.includes(kind));
  return (
    silences.some((silence) => at < silence.until && covers(silence)) ||
    made.some((silence) => silence.from <= at && at < silence.until && covers(silence)) ||
    maintenance.some((window) => covers(window) && isOpen(window, at))
  );
}

/** Whether a window that began at one of its times is still open. All are of one length, so the latest ends last. */
export function isOpen({ cron, timezone, duration_m }: Maintenance, at: number): boolean {
  // Croner looks back from whole seconds and leaves the second itself out.
  const from = new Date((Math.floor(at / 1000) + 1) * 1000);
  const [began] = new Cron(cron, { paused: true, timezone }).previousRuns(1, from);
  return began !== undefined && at < began.getTime() + duration_m * 60_000;
}
