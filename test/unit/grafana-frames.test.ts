import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frameComplaints } from '../support/grafana-frames.ts';
import { FORMAT } from '../support/grafana-queries.ts';

const column = (name: string, type: string) => ({ name, type });
const graph = { format: FORMAT.timeSeries };
const TIME = column('time', 'DateTime');

test('a graph is rows in the order of a time, with numbers, and strings that tell its series apart', () => {
  const meta = [TIME, column('loop', 'LowCardinality(String)'), column('spend', 'Nullable(Float64)')];
  const row = (time: string, loop: string, spend: number | null) => ({ time, loop, spend });
  const complaints = (...data: ReturnType<typeof row>[]) => frameComplaints(graph, { meta, data });
  assert.deepEqual(complaints(row('1', 'a', 1), row('1', 'b', null), row('2', 'a', 2)), []);
  assert.deepEqual(complaints(), ['no rows came']);
  assert.deepEqual(complaints(row('2', 'a', 1), row('1', 'a', 1)), ['times go back at 1']);
  assert.match(complaints(row('1', 'a', 1), row('1', 'a', 2))[0]!, /two rows/);
  assert.deepEqual(complaints(row('1', 'a', null)), ['no number in any row']);
});

test('a graph whose only values are strings is none', () => {
  const meta = [TIME, column('state', 'String')];
  assert.deepEqual(frameComplaints(graph, { meta, data: [{ time: '1', state: 'open' }] }), [
    'no column of numbers',
  ]);
});

test('a table with a column that the data source does not read is told of', () => {
  const meta = [column('at', 'Nullable(DateTime64(9))'), column('all', 'Array(String)')];
  const [complaint] = frameComplaints({ format: FORMAT.table }, { meta, data: [{ at: null, all: [] }] });
  assert.match(complaint!, /does not read all/);
});
