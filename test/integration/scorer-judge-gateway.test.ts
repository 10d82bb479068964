import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeScorer, scoreAnswer } from '../../evals/scorers/registry.ts';
import { ScorerDefinition } from '../../evals/suite.ts';
import { A } from '../../src/span/attributes.ts';
import { startTestGateway } from '../support/gateway.ts';
import { judgeCalls, judgeSays, judgeServices } from '../support/judge.ts';
import { startScriptedProvider } from '../support/scripted-provider.ts';

test('judging by our own gateway is traced as a loop of its own, by both APIs', async (t) => {
  const provider = await startScriptedProvider(judgeSays({ reason: 'It is blue.', score: 1 }));
  t.after(() => provider.close());
  const gateway = await startTestGateway({
    providerUrl: provider.url,
    keys: { lsk_judge: { loop: 'judge' } },
  });
  t.after(() => gateway.close());
  const { services } = judgeServices(gateway.url);
  const judgedBy = (model: string) => {
    const definition = ScorerDefinition.parse({ judge: { model, rubric: '1 where it is blue.' } });
    return scoreAnswer(makeScorer(definition, '.', services), 'blue', 'blue');
  };
  const byOpenai = await judgedBy('gpt-4o');
  provider.fallback = judgeCalls({ reason: 'It is blue.', score: 1 });
  const byAnthropic = await judgedBy('claude-sonnet-4-0');
  for (const result of [byOpenai, byAnthropic])
    assert.equal('score' in result && result.score, 1, JSON.stringify(result));
  const calls = await gateway.spansOf('judge', 2, 'call');
  assert.deepEqual(calls.map((span) => span.attributes[A.requestModel]).sort(), [
    'claude-sonnet-4-0',
    'gpt-4o',
  ]);
  assert.deepEqual(
    provider.requests.map(({ url, headers }) => [url, headers.authorization ?? headers['x-api-key']]),
    [
      ['/v1/chat/completions', 'Bearer sk-configured'],
      ['/v1/messages', 'sk-ant-configured'],
    ],
    'our own key goes no further than the gateway',
  );
});
