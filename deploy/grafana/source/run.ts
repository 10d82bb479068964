import { dashboard } from './dashboard.ts';
import { COUNT, MILLISECONDS, SECONDS, SHARE, USD } from './looks.ts';
import { figures, grid, prose, traces } from './panels.ts';
import * as sql from './queries/run.ts';
import * as variables from './variables.ts';
import { OUTCOMES, placeholder } from './words.ts';

/** One run: what happened, in which order, and how to read what was said. */

const HOW_TO_READ = `What was said is not for dashboards: their user may not read it, and sees hashes alone. Who may read it
asks ClickHouse as another user:

    SELECT role, content FROM loopscope.messages WHERE hash = '…'

A hash that is the same in two runs is the same text. Loops with \`capture: hashed\` keep hashes alone, those with
\`capture: off\` nothing. The run as a tree, on a terminal:

    loopscope trace ${placeholder('run')} --loop ${placeholder('loop')}`;

export const run = () =>
  dashboard('run', {
    description: 'One run: its trace, its calls, what it was judged and what it changed.',
    from: 'now-7d',
    variables: [variables.loop('one'), variables.run()],
    panels: [
      figures({ title: 'Summary', width: 24, height: 4 }, sql.summary, {
        State: { states: OUTCOMES },
        Verdict: { states: OUTCOMES },
        'Golden score': SHARE,
        Effects: COUNT,
        Cost: USD,
        Tokens: COUNT,
        Calls: COUNT,
        Errors: {
          ...COUNT,
          thresholds: [
            [null, 'text'],
            [1, 'red'],
          ],
        },
        Took: MILLISECONDS,
      }),
      traces({ title: 'Trace', width: 24, height: 14 }, sql.trace),
      grid(
        {
          title: 'Model and tool calls',
          description: 'Attempts at providers are rows of their own where a call took more than one.',
          width: 24,
          height: 9,
        },
        sql.calls,
        {
          Time: { unit: 'dateTimeAsLocal', width: 165 },
          Call: { width: 75 },
          Agent: { width: 140 },
          Role: { width: 80 },
          Status: { width: 70 },
          Error: { width: 130 },
          'First chunk': { ...SECONDS, width: 95 },
          Took: { ...SECONDS, width: 85 },
          'Tokens in': { ...COUNT, width: 85 },
          'Tokens out': { ...COUNT, width: 90 },
          Cost: { ...USD, width: 90 },
        },
      ),
      grid({ title: 'What came of it', width: 12, height: 8 }, sql.outcome, {
        Time: { unit: 'dateTimeAsLocal', width: 165 },
        What: { width: 200 },
        Result: { states: OUTCOMES, width: 105 },
      }),
      grid({ title: 'What was said, by its hashes', width: 12, height: 8 }, sql.said, {
        Time: { unit: 'dateTimeAsLocal', width: 165 },
        Agent: { width: 130 },
        Side: { width: 90 },
        'No.': { width: 55 },
      }),
      prose({ title: 'How to read it', width: 24, height: 6 }, HOW_TO_READ),
    ],
  });
