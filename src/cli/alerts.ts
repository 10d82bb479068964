import type { Command } from 'commander';
import { MODEL_ALERT_KIND } from '../../evals/models/alert.ts';
import { modelAlertText } from '../../evals/models/message.ts';
import { isProbeAlert } from '../../evals/probe/alert.ts';
import { probeAlertText } from '../../evals/probe/message.ts';
import { UNMEASURED_ALERT_KIND } from '../../evals/unmeasured/alert.ts';
import { unmeasuredAlertText } from '../../evals/unmeasured/message.ts';
import { type Alert, listAlerts } from '../store/alerts.ts';
import type { Store } from '../store/client.ts';
import { loopsSeen } from '../store/runs.ts';
import { alarmText, factsOf } from './alarm-text.ts';
import { add as addAccept } from './alerts-accept.ts';
import { add as addSilence } from './alerts-silence.ts';
import { requireKnownLoop } from './arguments.ts';
import type { CliContext } from './context.ts';
import { time } from './format.ts';

/** `alerts`: open and past alerts with their evidence. */
export function add(program: Command, context: CliContext): void {
  const alerts = program
    .command('alerts')
    .description('show open and past alerts with their evidence; exit code 1 when one is firing')
    .option('--loop <loop>', 'only this loop')
    .addHelpText('after', '\nExample:\n  loopscope alerts --loop dependency-bump')
    .action(async ({ loop }: { loop?: string }) => {
      const document = await alertsDocument(context.store(), loop);
      if (loop !== undefined && document.alerts.length === 0)
        requireKnownLoop(context, loop, await loopsSeen(context.store()));
      if (document.alerts.some(({ state }) => state === 'firing')) context.exitCode = 1;
      context.show(document, () => {
        if (document.alerts.length === 0) context.out.note('No alert, neither open nor past.');
        document.alerts.forEach((alert, i) => {
          if (i > 0) context.out.line();
          for (const line of describe(alert, context)) context.out.line(line);
        });
      });
    });
  addAccept(alerts, context);
  addSilence(alerts, context);
}

/** The document of `alerts --json`: open ones first, then the latest. */
export const alertsDocument = async (store: Store, loop?: string): Promise<{ alerts: Alert[] }> => ({
  alerts: await listAlerts(store, { loop }),
});

function describe(alert: Alert, { out: { paint } }: CliContext): string[] {
  const state = alert.state === 'firing' ? paint(['bold', 'red'], 'firing') : paint('green', 'resolved');
  const until = alert.resolved_at === null ? '' : `, over ${time(Date.parse(alert.resolved_at))} UTC`;
  return [
    `${state}  ${paint('bold', alert.loop)}  ${alert.kind} ${paint('dim', alert.alert_id)}, raised ${time(Date.parse(alert.started_at))} UTC${until}`,
    ...textOf(alert).map((line) => `  ${line}`),
  ];
}

function textOf(alert: Alert): string[] {
  if (alert.kind === MODEL_ALERT_KIND) return [modelAlertText(alert)];
  if (alert.kind === UNMEASURED_ALERT_KIND) return [unmeasuredAlertText(alert)];
  return isProbeAlert(alert) ? [probeAlertText(alert)] : alarmText(alert.loop, factsOf(alert));
}
