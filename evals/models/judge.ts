import type { AlertChange } from '../../src/store/alerts.ts';
import { MODEL_ALERT_KIND } from './alert.ts';
import { servedModelChanges } from './changes.ts';
import type { Circumstances, Judgement, LoopModels } from './findings.ts';
import { modelsNotFound } from './not-found.ts';
import { modelsRetiring } from './retiring.ts';

/**
 * Alerts of its models that a loop may have open. Names of models come from callers, who can make up any number of them;
 * nobody reads more pages than these.
 */
const OPEN_ALERTS_MAX = 10;

/** Judges a loop's models: a pure function of what is in the tables, so that any evaluator comes to the same. */
export function judgeModels({ loop, uses, alerts }: LoopModels, circumstances: Circumstances): Judgement {
  const models = { loop, uses, alerts: alerts.filter((alert) => alert.kind === MODEL_ALERT_KIND) };
  const gone = modelsNotFound(models, circumstances);
  const retiring = modelsRetiring(models, circumstances);
  const changes = [...gone.alerts, ...retiring.alerts];
  const isRaised = ({ alert }: AlertChange) => alert.state === 'firing';
  const room = Math.max(0, OPEN_ALERTS_MAX - models.alerts.filter(({ state }) => state === 'firing').length);
  const withheld = new Set(changes.filter(isRaised).slice(room));
  return {
    events: [...servedModelChanges(uses), ...gone.events, ...retiring.events],
    alerts: changes.filter((change) => !withheld.has(change)),
    withheld: withheld.size,
  };
}
