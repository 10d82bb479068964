import { type AlertsConfig, type GroupBy, SEVERITIES, type Severity } from '../../src/alert-settings.ts';
import type { LoopDefinition } from '../../src/registry/loop.ts';
import type { AlertChange, AlertHistory } from '../../src/store/alerts.ts';
import { MODEL_ALERT_KIND } from '../models/alert.ts';
import { UNMEASURED_ALERT_KIND } from '../unmeasured/alert.ts';
import { matchesLoop } from './glob.ts';
import type { Item } from './receiver.ts';

/**
 * What an alert is to those who route it: how urgent, whose, and what it shares with others.
 *
 * Detectors find what nobody else would notice, so their alerts wake somebody; so does a model that is gone. A model that
 * goes some day, and a suite without scores, can wait for the morning. A loop's own `severity` is the most that it gets.
 */
const TICKETS: ReadonlySet<string> = new Set([MODEL_ALERT_KIND, UNMEASURED_ALERT_KIND]);

/** How urgent a change's alert is, by its kind and what the registry says of its loop. */
export function severityOf({ alert }: AlertChange, loop: LoopDefinition | undefined): Severity {
  const isGone = alert.kind === MODEL_ALERT_KIND && alert.evidence['reason'] === 'not_found';
  const own: Severity = TICKETS.has(alert.kind) && !isGone ? 'ticket' : 'page';
  const most = loop?.severity ?? 'page';
  return SEVERITIES.indexOf(own) > SEVERITIES.indexOf(most) ? own : most;
}

/** A change as receivers get it. `firing` is how its alert was first told. */
export const itemOf = (
  { alert, at }: AlertChange,
  { firing }: Pick<AlertHistory, 'firing'>,
  loop: LoopDefinition | undefined,
): Item => ({
  alert,
  at,
  firstCause: firing.alert.cause,
  severity: severityOf(firing, loop),
  owner: loop?.owner,
  team: loop?.team,
});

/** The names of the receivers that are told of it. */
export function routed(
  { alert, severity, owner, team }: Item,
  { routes, default: rest, receivers }: Pick<AlertsConfig, 'routes' | 'default' | 'receivers'>,
): readonly string[] {
  const met = routes.find(
    (route) =>
      (route.owner === undefined || route.owner === owner) &&
      (route.team === undefined || route.team === team) &&
      (route.severity === undefined || route.severity === severity) &&
      (route.kinds.length === 0 || route.kinds.some((kind) => kind === alert.kind)) &&
      (route.loop === undefined || matchesLoop(route.loop, alert.loop)),
  );
  return met?.receivers ?? rest ?? Object.keys(receivers);
}

/** Equal for alerts that belong together. It stays as it is while an alert lasts, unless the registry changes. */
export function groupKeyOf(item: Item, by: readonly GroupBy[]): string {
  const { alert, firstCause: cause, severity, owner = '', team = '' } = item;
  const shared: Record<GroupBy, string> = {
    cause: cause ? [cause.dimension, cause.from, cause.to].join('\0') : `\0${alert.loop}`,
    kind: alert.kind,
    loop: alert.loop,
    owner,
    team,
    severity,
  };
  return JSON.stringify(by.map((field) => shared[field]));
}
