import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { goldenScore } from '../../src/records/golden-score.ts';
import { inputHash } from '../../src/records/normalize.ts';
import { type ReadRecord, readRecords } from '../../src/records/read.ts';
import { RunRecord } from '../../src/records/record.ts';
import { recordSpans, runSpans } from '../../src/records/spans.ts';
import { timestampNs } from '../../src/records/times.ts';
import { A } from '../../src/span/attributes.ts';
import { agentSpanId, runSpanId, runTraceId } from '../../src/span/ids.ts';
import { LIMITS } from '../../src/span/limits.ts';
import type { Span } from '../../src/span/span.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'loopscope-records-'));
});
after(() => rm(folder, { recursive: true, force: true }));

async function read(content: string | Buffer): Promise<ReadRecord[]> {
  const file = join(folder, 'records.jsonl');
  await writeFile(file, content);
  return await all(file);
}

async function all(path: string): Promise<ReadRecord[]> {
  const entries: ReadRecord[] = [];
  for await (const entry of readRecords(path)) entries.push(entry);
  return entries;
}

const LINE = '{"loop":"primes","run":"r-1","ts":"2023-06-27T09:00:00Z"}';
const record = (fields: object = {}) => RunRecord.parse({ ...JSON.parse(LINE), ...fields });

test('good lines are read, whatever stands at their ends', async () => {
  const entries = await read(`\ufeff${LINE}\r\n\n  \n${LINE}`);
  assert.deepEqual(
    entries.map((e) => [e.line, 'record' in e]),
    [
      [1, true],
      [4, true],
    ],
  );
  assert.deepEqual(await read(''), []);
});

test('a bad line is reported with its number, the field, what was expected and what came, and stops nothing', async () => {
  const bad = [
    '{"loop":',
    '[1]',
    '{"run":"r","ts":"2023-06-27T09:00:00Z"}',
    '{"loop":"l","run":"r","ts":"yesterday"}',
    '{"loop":"l","run":"r","ts":"2023-06-27T09:00:00Z","golden":{"score":7}}',
    '{"loop":"l","run":"r","ts":"2300-06-27T09:00:00Z"}',
  ];
  const entries = await read([LINE, ...bad, LINE].join('\n'));
  assert.deepEqual(
    entries.map((e) => e.line),
    [1, 2, 3, 4, 5, 6, 7, 8],
  );
  const errors = entries.map((e) => ('error' in e ? e.error : ''));
  assert.equal(errors[0], '');
  assert.equal(errors[7], '');
  assert.match(errors[1]!, /expected a JSON object/);
  assert.match(errors[2]!, /expected object, found \[1\]/);
  assert.equal(errors[3], 'loop: expected string, found nothing');
  assert.match(errors[4]!, /^ts: expected an ISO 8601 time .*, found "yesterday"$/);
  assert.match(errors[5]!, /^golden\.score: .*<=1, found 7$/);
  assert.match(errors[6]!, /^ts: expected a time from 1970 to 2262/);
});

test('a line past the limit is reported without being held, and the next is read', async () => {
  const long = Buffer.alloc(LIMITS.recordLineBytesMax + 10, 0x20);
  const entries = await read(Buffer.concat([long, Buffer.from(`\n${LINE}\n`)]));
  assert.equal(entries.length, 2);
  assert.match((entries[0] as { error: string }).error, /at most 16777216 bytes/);
  assert.ok('record' in entries[1]!);
});

test('a field that is null is a field that is not there', async () => {
  const [entry] = await read(
    '{"loop":"l","run":"r","ts":"2023-06-27T09:00:00Z","golden":null,"cost_usd":null}',
  );
  assert.deepEqual((entry as { record: RunRecord }).record.golden, undefined);
});

test('a file that is not there is named', async () => {
  await assert.rejects(all('/nowhere/x.jsonl'), {
    code: 'not_found',
    message: /nowhere\/x\.jsonl: cannot be read/,
  });
});

test('the golden score is the recorded one, else a comparison, else unknown', () => {
  const never = () => assert.fail('not asked');
  assert.equal(goldenScore(record({ output: 'no', golden: { score: 0.5, expected: 'yes' } }), never), 0.5);
  assert.equal(goldenScore(record({ output: ' YES \n', golden: { expected: 'yes' } })), 1);
  assert.equal(goldenScore(record({ output: 'no', golden: { expected: 'yes' } })), 0);
  assert.equal(
    goldenScore(record({ output: '[yes]', golden: { expected: 'yes' } }), (o, e) => (o.includes(e) ? 1 : 0)),
    1,
  );
  assert.equal(goldenScore(record({ output: 'yes' })), undefined);
  assert.equal(goldenScore(record({ golden: { expected: 'yes' } })), undefined);
  assert.throws(() => goldenScore(record({ output: 'a', golden: { expected: 'b' } }), () => Number.NaN), {
    code: 'bad_input',
  });
});

test('what a scorer gives that is no number is a failure of the scorer, not a score', async () => {
  const answered = record({ output: 'a', golden: { expected: 'b' } });
  for (const given of [null, true, '0.5', undefined])
    for (const score of [() => given as unknown as number, async () => given as unknown as number])
      await assert.rejects(async () => goldenScore(answered, score), { code: 'bad_input' });
});

test('a record becomes a run, its agent, the call, the verdict and the effects', () => {
  const spans = recordSpans(
    record({
      agent: 'worker',
      model: 'gpt-4',
      served_model: 'gpt-4-0613',
      prompt_version: 'v1',
      checker: { name: 'parses', version: 'v2', pass: true },
      input: 'Is 7 prime?',
      output: '[No]',
      golden: { expected: 'yes', score: 0 },
      effects: ['pr_opened', 'pr_opened'],
      input_tokens: 40,
      latency_ms: 900.5,
    }),
    { registered: true },
  );
  const kinds = spans.map((s) => s.attributes[A.record]);
  assert.deepEqual(kinds, ['run', 'agent', 'call', 'verdict', 'effect', 'effect']);
  assert.equal(new Set(spans.map((s) => s.spanId)).size, 6);
  const [run, agent, call, verdict] = spans as [Span, Span, Span, Span];

  const traceId = runTraceId('primes', 'r-1');
  assert.ok(spans.every((s) => s.traceId === traceId && s.attributes[A.runId] === 'r-1'));
  assert.deepEqual([run.spanId, run.parentSpanId], [runSpanId(traceId), '']);
  assert.equal(agent.spanId, agentSpanId(traceId, ['worker']));
  assert.equal(agent.parentSpanId, run.spanId);
  assert.equal(call.parentSpanId, agent.spanId);
  assert.equal(verdict.parentSpanId, run.spanId);

  assert.equal(run.name, 'invoke_workflow primes');
  assert.equal(run.endNs - run.startNs, 900_500_000n);
  assert.equal(run.attributes[A.goldenScore], '0');
  assert.equal(run.attributes[A.goldenExpected], 'yes');
  assert.equal(run.attributes[A.registered], 'true');
  assert.equal(call.name, 'chat gpt-4');
  assert.equal(call.kind, 'Client');
  assert.equal(call.attributes[A.responseModel], 'gpt-4-0613');
  assert.equal(call.attributes[A.inputHash], inputHash('Is 7 prime?'));
  assert.equal(call.attributes[A.inputTokens], '40');
  assert.equal(A.outputTokens in call.attributes, false, 'what nobody said is absent');
  assert.equal(call.attributes[A.agentRole], 'maker');
  assert.equal(verdict.attributes[A.verdictPass], 'true');
  assert.equal(verdict.events[0]!.attributes[A.evaluationLabel], 'pass');
});

test('a record of nothing but a name and a time is a run without agents', () => {
  const spans = recordSpans(record(), { registered: false });
  assert.deepEqual(
    spans.map((s) => s.attributes[A.record]),
    ['run'],
  );
});

test('several records of a run share its span, and sub-agents hang on their parents', () => {
  const spans = runSpans(
    [
      record({ agent: 'maker', model: 'a', output: 'x', latency_ms: 10 }),
      record({
        agent: 'searcher',
        parent_agent: 'maker',
        model: 'b',
        ts: '2023-06-27T09:00:01Z',
        latency_ms: 10,
      }),
      record({
        agent: 'judge',
        model: 'c',
        ts: '2023-06-27T09:00:02Z',
        checker: { name: 'judge', pass: false },
        golden: { score: 1 },
      }),
    ],
    { registered: false },
  );
  const runs = spans.filter((s) => s.attributes[A.record] === 'run');
  assert.equal(runs.length, 1);
  assert.equal(runs[0]!.attributes[A.goldenScore], '1');
  assert.equal(runs[0]!.endNs - runs[0]!.startNs, 2_000_000_000n);
  const agents = spans.filter((s) => s.attributes[A.record] === 'agent');
  assert.deepEqual(
    agents.map((s) => [s.attributes[A.agentName], s.attributes[A.agentRole]]),
    [
      ['maker', 'maker'],
      ['searcher', 'sub'],
      ['judge', 'checker'],
    ],
  );
  assert.equal(agents[1]!.parentSpanId, agents[0]!.spanId);
  assert.equal(agents[1]!.attributes[A.parentAgent], 'maker');
});

test('times keep their nanoseconds and their zone', () => {
  assert.equal(timestampNs('2023-06-27T09:00:00.123456789Z'), 1687856400123456789n);
  assert.equal(timestampNs('2023-06-27T11:00:00.5+02:00'), 1687856400500000000n);
  assert.equal(timestampNs('2023-06-27T09:00:00Z'), 1687856400000000000n);
});
