import type { Store } from './client.ts';

/** What a suite's scores cost, in US dollars. */
export interface ScoreCosts {
  /** Since the day began. */
  spentUsd: number;
  /** Of the newest scores that cost something; 0 where none did. */
  dearestUsd: number;
  meanUsd: number;
}

/** Scores by which it is known what one costs. */
const NEWEST = 200;

/** `since`: when the day began, in milliseconds. */
export async function scoreCosts(
  store: Store,
  { loop, suite }: { loop: string; suite: string },
  since: number,
): Promise<ScoreCosts> {
  const ofSuite = `FROM ${store.database}.eval_scores WHERE loop = {loop:String} AND suite = {suite:String}`;
  const [row] = await store.query<ScoreCosts>(
    `SELECT (SELECT sum(cost_usd) ${ofSuite} AND scored_at >= fromUnixTimestamp64Milli({since:Int64})) AS spent,
            ifNull(spent, 0) AS spentUsd, max(cost) AS dearestUsd, if(count() = 0, 0, avg(cost)) AS meanUsd
     FROM (SELECT assumeNotNull(cost_usd) AS cost ${ofSuite} AND cost_usd > 0
           ORDER BY scored_at DESC LIMIT {newest:UInt32})`,
    { loop, suite, since, newest: NEWEST },
  );
  const { spentUsd, dearestUsd, meanUsd } = row!;
  return { spentUsd, dearestUsd, meanUsd };
}
