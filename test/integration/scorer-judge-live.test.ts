import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { importGolden } from '../../evals/golden.ts';
import { runSuite } from '../../evals/score.ts';
import { loadSuites } from '../../evals/suite.ts';
import { systemClock } from '../../src/clock.ts';
import { insertRuns, suiteFolder } from '../support/eval-runs.ts';
import { judgeSays } from '../support/judge.ts';
import { startScriptedProvider } from '../support/scripted-provider.ts';
import { startTestStore } from '../support/store.ts';

test('a judge scores stored runs, and not those of its own family', async (t) => {
  const server = await startTestStore();
  t.after(() => server.close());
  const provider = await startScriptedProvider(judgeSays({ reason: 'Good.', score: 0.75 }));
  t.after(() => provider.close());
  const at = suiteFolder({
    's.yaml': `suite: j\nloop: j\ndataset: j\nscorer: { judge: { model: gpt-4o, base_url: "${provider.url}", rubric: "Is it right?" } }\n`,
  });
  t.after(() => at.remove());
  at.write('g.jsonl', '{"input":"q","expected":"yes"}');
  const clock = systemClock();
  await importGolden({ store: server.store, clock }, { path: join(at.directory, 'g.jsonl'), dataset: 'j' });
  const run = (name: string, model: string) => ({
    loop: 'j',
    run: name,
    at: clock.now() - 1000,
    input: 'q',
    output: 'yes',
    model,
  });
  await insertRuns(server.store, [run('a', 'claude-sonnet-4-20250514'), run('b', 'o3-2025-04-16')]);
  const [suite] = loadSuites(at.directory);
  const result = await runSuite(suite!, { store: server.store, clock, config: at.config });
  assert.deepEqual([result.scored, result.mean, result.errorCodes], [1, 0.75, { judge_same_family: 1 }]);
});
