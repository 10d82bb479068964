import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alertText } from '../../evals/message.ts';
import type { Alert } from '../../src/store/alerts.ts';

const alert = (evidence: Alert['evidence']): Alert => ({
  alert_id: 'a',
  loop: 'primes',
  kind: 'golden_drop',
  state: 'firing',
  started_at: '2026-01-01T00:30:00.000Z',
  change_at: '2026-01-01T00:20:00.000Z',
  change_at_run: 20,
  resolved_at: null,
  cause: null,
  evidence: { golden: { before: 0.84, after: 0.5 }, arl: 10_000, e_value: 12_345, ...evidence },
});

test('several changes in one run are told, not denied', () => {
  const text = alertText(
    alert({
      candidates: [
        { dimension: 'model', from: 'm-1', to: 'm-2', at_run: 20, log_likelihood: 0 },
        { dimension: 'prompt', from: 'p1', to: '', at_run: 20, log_likelihood: 0 },
      ],
    }),
  );
  assert.match(text, /is not known: model, from m-1 to m-2; prompt, from p1 to unknown\./);
  assert.doesNotMatch(text, /No change/);
});

test('without verdicts nothing is said of what the checker lets pass', () => {
  const none = alertText(alert({ checker_pass_rate: { before: null, after: null } }));
  assert.match(none, /fell from 0\.84 to 0\.50\. It began/);
  const some = alertText(alert({ checker_pass_rate: { before: 0.99, after: 0.95 } }));
  assert.match(some, /while its checker passes from 99\.0 % to 95\.0 % of its runs\./);
});
