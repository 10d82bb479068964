import { dashboard } from './dashboard.ts';
import { BYTES, COUNT, SECONDS, SHARE } from './looks.ts';
import { figures, graph, grid } from './panels.ts';
import * as sql from './queries/pipeline.ts';
import { OUTCOMES } from './words.ts';

/** From the collector's door to scores: does it come in, does it wait, is it late. */

/** The roles report every 15 seconds. */
const READINGS = '30s';

export const pipeline = () =>
  dashboard('pipeline', {
    description: 'Collector, spool, inserts into ClickHouse, and evals.',
    from: 'now-6h',
    variables: [],
    panels: [
      figures(
        {
          title: 'Now',
          description:
            'Oldest unsent is the one to alert on: how long what waits longest has waited for ClickHouse.',
          width: 24,
          height: 4,
        },
        sql.now,
        {
          'Oldest unsent': {
            ...SECONDS,
            thresholds: [
              [null, 'green'],
              [60, 'orange'],
              [600, 'red'],
            ],
          },
          'In the spool': BYTES,
          'Requests in it': COUNT,
          'Alarms held back': COUNT,
          'Series watched': COUNT,
        },
      ),
      graph(
        { title: 'Received and stored, a second', width: 8, height: 8, interval: READINGS },
        sql.received,
        {
          look: { unit: 'cps' },
          series: 'series',
          min: 0,
        },
      ),
      graph(
        {
          title: 'Requests and what was not taken',
          description: 'Rejected never comes in; what was refused its sender still has.',
          width: 8,
          height: 8,
          interval: READINGS,
        },
        sql.answers,
        { look: COUNT, series: 'series', min: 0 },
      ),
      graph(
        { title: 'Lag: the oldest that waits for ClickHouse', width: 8, height: 8, interval: READINGS },
        sql.lag,
        {
          look: {
            ...SECONDS,
            thresholds: [
              [null, 'transparent'],
              [60, 'orange'],
              [600, 'red'],
            ],
          },
          min: 0,
        },
      ),
      graph({ title: 'What waits', width: 8, height: 8, interval: READINGS }, sql.spool, {
        look: BYTES,
        min: 0,
      }),
      graph(
        { title: 'Rows inserted a second, by table', width: 8, height: 8, interval: READINGS },
        sql.inserts,
        {
          look: { unit: 'rowsps' },
          series: 'table',
          stacked: true,
          min: 0,
        },
      ),
      graph(
        { title: 'How long an insert takes', width: 8, height: 8, interval: READINGS },
        sql.insertSeconds,
        {
          look: SECONDS,
          looks: {
            'share above 1 s': { ...SHARE, more: { 'custom.axisPlacement': 'right' } },
          },
          min: 0,
        },
      ),
      graph(
        {
          title: 'From the end of a run until it is seen here',
          width: 12,
          height: 8,
        },
        sql.visible,
        { look: SECONDS, min: 0 },
      ),
      graph({ title: 'Scores', width: 6, height: 8 }, sql.scores, {
        look: COUNT,
        looks: { Scores: { color: 'green' }, Errors: { color: 'red' } },
        min: 0,
      }),
      graph({ title: 'Messages of alerts, by receiver', width: 6, height: 8 }, sql.deliveries, {
        look: COUNT,
        series: 'destination',
        min: 0,
      }),
      grid(
        {
          title: 'Suites: due, done, late',
          description:
            'Jobs in the chosen time. Latest start: how long after it was due the latest of them began.',
          width: 24,
          height: 10,
        },
        sql.suites,
        {
          'Last job': { states: OUTCOMES, width: 90 },
          'Due last': { unit: 'dateTimeFromNow' },
          'Done last': { unit: 'dateTimeFromNow' },
          'Latest start': {
            ...SECONDS,
            width: 110,
            thresholds: [
              [null, 'text'],
              [60, 'orange'],
              [600, 'red'],
            ],
          },
          Done: COUNT,
          Failed: {
            ...COUNT,
            width: 75,
            thresholds: [
              [null, 'text'],
              [1, 'red'],
            ],
          },
          'Runs scored': COUNT,
          'Without a score': COUNT,
        },
      ),
      graph({ title: 'Jobs of suites', width: 12, height: 7 }, sql.jobs, {
        look: COUNT,
        series: 'state',
        looks: { done: { color: 'green' }, failed: { color: 'red' } },
        stacked: true,
        min: 0,
      }),
      graph({ title: 'How late jobs begin', width: 12, height: 7 }, sql.late, {
        look: {
          ...SECONDS,
          thresholds: [
            [null, 'transparent'],
            [60, 'orange'],
          ],
        },
        min: 0,
      }),
    ],
  });
