import type { Alert, AlertChange } from '../../src/store/alerts.ts';
import type { ProbeRow } from '../../src/store/probes.ts';
import { checkerAlert, resolved, tracesOf } from './alert.ts';
import { checkerEpisodes, checkerQuality } from './checker.ts';

/** Of a checker: which alerts its probes raise, and which they end. */
export interface CheckerProbes {
  loop: string;
  suite: string;
  agent: string;
  /** Of the checker, oldest first. */
  probes: readonly ProbeRow[];
  /** The alerts of the suite that say `checker_drift`, in their newest state. */
  alerts: readonly Alert[];
  arl: number;
  now: number;
}

/** The next change of the checker's alerts; to be asked again after each. */
export function nextCheckerChange({
  loop,
  suite,
  agent,
  probes,
  alerts,
  arl,
  now,
}: CheckerProbes): AlertChange | undefined {
  const quality = checkerQuality(probes);
  for (const episode of checkerEpisodes(probes, arl)) {
    const { raised, since, last, fault, recovered, verdicts, mistakes, eValue } = episode;
    const about = {
      loop,
      suite,
      id: ['verdicts', fault, raised.run_id],
      startedAt: raised.at,
      changeAt: since.at,
      cause: causeOf(last, since),
    };
    const alert = checkerAlert(about, {
      by: 'verdicts',
      fault,
      agent,
      verdicts,
      mistakes,
      e_value: eValue,
      arl,
      sensitivity: quality.sensitivity ?? null,
      specificity: quality.specificity ?? null,
      look_at: tracesOf([raised]),
    });
    const known = alerts.find(({ alert_id }) => alert_id === alert.alert_id);
    if (!known) return { alert, at: now };
    if (known.state === 'firing' && recovered)
      return resolved(known, new Date(recovered.at).toISOString(), now);
  }
  return undefined;
}

/** What changed between the last verdict before and the first since, where that is one thing. */
function causeOf(last: ProbeRow | undefined, since: ProbeRow): Alert['cause'] {
  if (!last) return null;
  const model = last.served_model !== since.served_model;
  const asked = last.template_version !== since.template_version;
  if (model === asked) return null;
  return model
    ? { dimension: 'model', from: last.served_model, to: since.served_model }
    : { dimension: 'checker', from: last.template_version, to: since.template_version };
}
