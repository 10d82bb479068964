-- The golden scores of before, put together by a number that stands for the run: a quarter of the time that its names
-- take. Whoever joins them should do so by that number too, and then nobody reads the names.
-- As `goldenScores` in src/store/runs.ts, without what raters wrote.

DROP VIEW IF EXISTS {{database}}.golden_scores {{on_cluster}};

CREATE VIEW IF NOT EXISTS {{database}}.golden_scores {{on_cluster}}
AS SELECT
    run_hash, -- sipHash64(loop, run_id)
    any(loop) AS loop,
    any(run_id) AS run_id,
    if(countIf(human) > 0, avgIf(score, human), avg(score)) AS golden_score
FROM
(
    SELECT run_hash, loop, run_id, toNullable(suite_score) AS score, false AS human
    FROM
    (
        -- An error, which has no score, stands against a later score too. (A number is much faster here than a tuple.)
        SELECT
            sipHash64(s.loop, s.run_id) AS run_hash,
            any(s.loop) AS loop,
            any(s.run_id) AS run_id,
            argMin(ifNull(s.score, nan), s.scored_at) AS suite_score
        FROM {{database}}.eval_scores AS s
        GROUP BY run_hash, sipHash64(s.suite)
    )
    WHERE NOT isNaN(suite_score)
    UNION ALL
    SELECT run_hash, loop, run_id, label_score AS score, true AS human
    FROM
    (
        SELECT
            sipHash64(l.loop, l.run_id) AS run_hash,
            any(l.loop) AS loop,
            any(l.run_id) AS run_id,
            argMax(tuple(l.score), (l.labelled_at, l.withdrawn, l.score)).1 AS label_score
        FROM {{database}}.labels AS l
        GROUP BY run_hash, l.rater
    )
    WHERE label_score IS NOT NULL
)
GROUP BY run_hash;
