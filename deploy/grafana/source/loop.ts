import { dashboard, marks } from './dashboard.ts';
import { SCORE_LOOKS } from './fleet.ts';
import { COUNT, type Look, MILLISECONDS, SECONDS, SHARE, USD } from './looks.ts';
import { figures, graph, grid } from './panels.ts';
import * as sql from './queries/loop.ts';
import * as variables from './variables.ts';
import { addressNow, field, OUTCOMES, placeholder, STATES } from './words.ts';

/** One loop: when it stopped being useful, what changed there, and which runs to look at. */

const toRun = (column: string): NonNullable<Look['link']> => ({
  title: 'Look at this run',
  url: addressNow('run', { loop: placeholder('loop', 'percentencode'), run: field(column) }),
});

export const loop = () =>
  dashboard('loop', {
    description: 'One loop: since when, what changed, what it costs, and its runs.',
    from: 'now-7d',
    variables: [variables.loop('one')],
    annotations: [
      marks('Alerts', 'red', sql.alertAnnotations),
      marks('Models', 'orange', sql.modelAnnotations),
      marks('Versions', 'blue', sql.versionAnnotations),
    ],
    panels: [
      figures({ title: 'Now', width: 12, height: 4 }, sql.state, {
        State: { states: STATES },
        'What changed': { noValue: 'nothing known' },
        Since: { unit: 'dateTimeFromNow' },
        Owner: { noValue: 'nobody' },
      }),
      figures(
        {
          title: 'In the chosen time',
          description:
            'Per outcome: the spend on one useful outcome, which is a run whose golden score passes or, where it has none, one with an effect that was not turned down.',
          width: 12,
          height: 4,
        },
        sql.totals,
        {
          Runs: COUNT,
          'Checker passes': SHARE,
          'Golden score': SHARE,
          'Effects/run': { decimals: 2 },
          Spend: USD,
          'Per outcome': USD,
        },
      ),
      graph(
        {
          title: 'Checker against golden data',
          description:
            'Means of the last 50 runs, the golden score with its 95 % interval. Marks: alerts where the change began (red), models (orange), versions of prompt, tools and registration (blue).',
          width: 24,
          height: 9,
        },
        sql.scores,
        { looks: SCORE_LOOKS, look: SHARE, min: 0, max: 1 },
      ),
      graph(
        {
          title: 'Evidence for a fall of the golden score',
          description:
            'The e-value as a share of what an alarm takes: at 1 the loop is alarmed, above 0.01 it is suspect. Under no change it reaches 1 once in the promised number of runs on average.',
          width: 12,
          height: 8,
        },
        sql.evidence,
        {
          series: 'suite',
          logarithmic: true,
          look: {
            unit: 'sci',
            thresholds: [
              [null, 'transparent'],
              [0.01, 'orange'],
              [1, 'red'],
            ],
          },
        },
      ),
      graph(
        {
          title: 'Which model answered the maker',
          description: 'Calls of makers by the model that really answered, whatever was asked for.',
          width: 12,
          height: 8,
          interval: '1m',
        },
        sql.servedModels,
        { look: COUNT, series: 'model', stacked: true, min: 0 },
      ),
      grid(
        {
          title: 'Agents',
          description: 'Makers, checkers and those they delegate to.',
          width: 12,
          height: 8,
        },
        sql.agents,
        {
          Agent: { width: 140 },
          Role: { width: 75 },
          Calls: { ...COUNT, width: 70 },
          Errors: {
            ...COUNT,
            width: 70,
            thresholds: [
              [null, 'text'],
              [1, 'red'],
            ],
          },
          'Tokens in': { ...COUNT, width: 85 },
          'Tokens out': { ...COUNT, width: 90 },
          Spend: { ...USD, width: 85 },
          p95: { ...SECONDS, width: 80 },
        },
      ),
      graph({ title: 'Spend by agent', width: 6, height: 8, interval: '1m' }, sql.spend, {
        look: USD,
        series: 'agent',
        stacked: true,
        min: 0,
      }),
      graph(
        {
          title: 'Effects',
          description: 'What runs changed in the world.',
          width: 6,
          height: 8,
          interval: '1m',
        },
        sql.effects,
        {
          look: COUNT,
          looks: { Effects: { color: 'green' }, 'Turned down': { color: 'orange' } },
          stacked: true,
          min: 0,
        },
      ),
      grid({ title: 'What changed', width: 12, height: 8 }, sql.changes, {
        Time: { unit: 'dateTimeAsLocal', width: 165 },
        Loop: { more: { 'custom.hidden': true, 'custom.hideFrom.viz': true } },
        What: { width: 190 },
      }),
      grid(
        {
          title: 'Alerts',
          description:
            'All that there are, whatever time is chosen. `loopscope alerts` shows the whole evidence.',
          width: 12,
          height: 8,
        },
        sql.alerts,
        {
          Raised: { unit: 'dateTimeAsLocal', width: 160 },
          State: { states: OUTCOMES, width: 85 },
          Began: { unit: 'dateTimeAsLocal', width: 160 },
          'Run no.': { ...COUNT, width: 75 },
          'Golden before': { ...SHARE, width: 110 },
          after: { ...SHARE, width: 65 },
          'e-value': { unit: 'sci', width: 85 },
          'Look at run': { link: toRun('Look at run') },
        },
      ),
      grid(
        { title: 'Runs', description: 'The latest 200 in the chosen time.', width: 24, height: 12 },
        sql.runs,
        {
          Started: { unit: 'dateTimeAsLocal', width: 165 },
          Run: { link: toRun('Run'), width: 180 },
          State: { states: OUTCOMES, width: 85 },
          Verdict: { states: OUTCOMES, width: 80 },
          'Golden score': {
            ...SHARE,
            width: 105,
            thresholds: [
              [null, 'red'],
              [0.5, 'green'],
            ],
          },
          Effects: { ...COUNT, width: 75 },
          Cost: { ...USD, width: 90 },
          'Tokens in': { ...COUNT, width: 85 },
          'Tokens out': { ...COUNT, width: 90 },
          Took: { ...MILLISECONDS, width: 90 },
        },
      ),
    ],
  });
