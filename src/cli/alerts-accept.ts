import type { Command } from 'commander';
import { isOfRuns } from '../../evals/alerts.ts';
import { LoopscopeError } from '../errors.ts';
import { appendAcceptance } from '../store/acceptances.ts';
import { type Alert, listAlerts } from '../store/alerts.ts';
import { oneLine } from './arguments.ts';
import type { CliContext } from './context.ts';
import { loginName } from './login-name.ts';

interface Options {
  reason: string;
  by?: string;
}

const NAME_LENGTH_MAX = 100;
const REASON_LENGTH_MAX = 1_000;

/** `alerts accept`: what an alert told of is how the loop is to be from now on. */
export function add(alerts: Command, context: CliContext): void {
  alerts
    .command('accept')
    .description(
      'what an alert tells of is the new normal: its detectors learn the loop anew, and it is resolved',
    )
    .argument('<alert>', 'its id, as `loopscope alerts` shows it')
    .requiredOption('--reason <text>', 'why, for those who ask later')
    .option('--by <name>', 'who says so (default: the name you are logged in by)')
    .addHelpText(
      'after',
      '\nExample:\n  loopscope alerts accept 3f2a9c01d4e5b678 --reason "answers are shorter on purpose since v12"',
    )
    .action(async (id: string, options: Options) => {
      const store = context.store();
      const alert = (await listAlerts(store)).find(({ alert_id }) => alert_id === id);
      if (!alert)
        throw new LoopscopeError(
          'not_found',
          `There is no alert "${id}". \`loopscope alerts\` shows them with their ids.`,
        );
      checkAcceptable(alert);
      const { loop, kind, evidence } = alert;
      const joined = Array.isArray(evidence['joined']) ? (evidence['joined'] as { kind: string }[]) : [];
      const accepted = {
        loop,
        alertId: id,
        kinds: [...new Set([kind, ...joined.map((one) => one.kind)])],
        by: oneLine('--by', options.by ?? loginName(), NAME_LENGTH_MAX),
        reason: oneLine('--reason', options.reason, REASON_LENGTH_MAX),
      };
      await appendAcceptance(store, accepted);
      context.show({ accepted: { alert: id, loop, kinds: accepted.kinds, by: accepted.by } }, () => {
        context.out.line(`${loop}: ${accepted.kinds.join(', ')} accepted by ${accepted.by}`);
        context.out.note(
          'The evals role takes it within seconds: the alert is then resolved, and the loop is unmeasured in what fell until enough is learnt anew.',
        );
      });
    });
}

function checkAcceptable(alert: Alert): void {
  const { alert_id, kind, state } = alert;
  if (state !== 'firing')
    throw new LoopscopeError('usage', `Alert ${alert_id} is over already: there is nothing to accept.`);
  if (!isOfRuns(alert))
    throw new LoopscopeError(
      'usage',
      `Alert ${alert_id} is of kind ${kind} and rests on no baseline that could be learnt anew. It ends when its reason does.`,
    );
}
