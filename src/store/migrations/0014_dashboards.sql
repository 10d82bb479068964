-- What dashboards read besides the tables of others: what the detectors knew at each look, and in SQL what `status` says in
-- code (src/cli/loop-state.ts, src/cli/fleet-report.ts). A test holds both equal.

-- The part of a detector's state that people are shown, a row each time it was stored.
CREATE TABLE IF NOT EXISTS {{database}}.detector_history {{on_cluster}}
(
    `loop` LowCardinality(String),
    `stream` LowCardinality(String),
    `at` DateTime64(3) CODEC(Delta(8), ZSTD(1)),
    `is_scored` UInt8,
    `phase` LowCardinality(String), -- learning | watching | alarmed
    -- Evidence for a fall of the golden score, and what it has to reach.
    `e_value` Float64,
    `threshold` Float64,
    -- Scored runs since the last change of level; 0 before the first score.
    `regime` UInt64
)
ENGINE = {{engine:MergeTree}}
ORDER BY (loop, stream, at)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.detector_history_mv {{on_cluster}}
TO {{database}}.detector_history
AS SELECT
    loop,
    stream,
    stored_at AS at,
    toUInt8(JSONExtractBool(state, 'isScored')) AS is_scored,
    multiIf(
        JSONLength(state, 'watch', 'open') > 0, 'alarmed',
        JSONType(state, 'watch', 'levels', 'golden', 'baseline', 'low') = 'Object', 'watching',
        'learning') AS phase,
    -- Weights of the grid in evals/stats/e-detector.ts.
    arraySum((weight, evidence) -> weight * evidence, [0.14, 0.22, 0.18, 0.15, 0.15, 0.16],
        arrayResize(JSONExtract(state, 'watch', 'levels', 'golden', 'fall', 'roberts', 'Array(Float64)'), 6)) AS e_value,
    -- The golden score's share of the promised run length, and the error of its baseline: evals/detect.
    JSONExtractFloat(state, 'arl') / (1 - 0.05) / 0.9 AS threshold,
    JSONExtractUInt(state, 'watch', 'levels', 'golden', 'regime') AS regime
FROM {{database}}.detector_states;

-- What the states said that are there already.
INSERT INTO {{database}}.detector_history
SELECT
    loop,
    stream,
    stored_at AS at,
    toUInt8(JSONExtractBool(state, 'isScored')) AS is_scored,
    multiIf(
        JSONLength(state, 'watch', 'open') > 0, 'alarmed',
        JSONType(state, 'watch', 'levels', 'golden', 'baseline', 'low') = 'Object', 'watching',
        'learning') AS phase,
    arraySum((weight, evidence) -> weight * evidence, [0.14, 0.22, 0.18, 0.15, 0.15, 0.16],
        arrayResize(JSONExtract(state, 'watch', 'levels', 'golden', 'fall', 'roberts', 'Array(Float64)'), 6)) AS e_value,
    JSONExtractFloat(state, 'arl') / (1 - 0.05) / 0.9 AS threshold,
    JSONExtractUInt(state, 'watch', 'levels', 'golden', 'regime') AS regime
FROM {{database}}.detector_states
WHERE (loop, stream, stored_at) NOT IN (SELECT loop, stream, at FROM {{database}}.detector_history);

-- The golden score of each run that has one: its label, the mean over its raters, else the mean of the earliest score of each
-- suite. As `goldenScores` in src/store/runs.ts, without what raters wrote.
CREATE VIEW IF NOT EXISTS {{database}}.golden_scores {{on_cluster}}
AS SELECT loop, run_id, if(countIf(human) > 0, avgIf(score, human), avg(score)) AS golden_score
FROM
(
    SELECT loop, run_id, toNullable(suite_score) AS score, false AS human
    FROM
    (
        -- An error, which has no score, stands against a later score too. (A number is much faster here than a tuple.)
        SELECT loop, suite, run_id, argMin(ifNull(score, nan), scored_at) AS suite_score
        FROM {{database}}.eval_scores
        GROUP BY loop, suite, run_id
    )
    WHERE NOT isNaN(suite_score)
    UNION ALL
    SELECT loop, run_id, label_score AS score, true AS human
    FROM
    (
        SELECT loop, run_id, rater, argMax(tuple(l.score), (l.labelled_at, l.withdrawn, l.score)).1 AS label_score
        FROM {{database}}.labels AS l
        GROUP BY loop, run_id, rater
    )
    WHERE label_score IS NOT NULL
)
GROUP BY loop, run_id;

-- Alerts in their newest states, and what changed in a few words.
CREATE VIEW IF NOT EXISTS {{database}}.alerts_now {{on_cluster}}
AS SELECT
    alert_id,
    loop,
    kind,
    state,
    at,
    started_at,
    change_at,
    change_at_run,
    cause,
    evidence,
    multiIf(
        JSONExtractString(cause, 'dimension') = '', '',
        JSONExtractString(cause, 'from') = '', concat(JSONExtractString(cause, 'dimension'), ': ', JSONExtractString(cause, 'to')),
        concat(JSONExtractString(cause, 'dimension'), ': ', JSONExtractString(cause, 'from'), ' → ', JSONExtractString(cause, 'to'))
    ) AS what_changed,
    -- That a model will retire is no failure yet.
    CAST(JSONExtractString(evidence, 'reason') = 'retires' AS UInt8) AS is_notice
FROM
(
    SELECT * FROM {{database}}.alerts ORDER BY state = 'resolved' DESC, at DESC LIMIT 1 BY alert_id
);

-- Registered loops with their owners, and when each was due last and the time before that: five fields of numbers, names,
-- lists, ranges and steps, in UTC. A schedule in other words (L, W, #, ?) has no times here.
CREATE VIEW IF NOT EXISTS {{database}}.loop_schedules {{on_cluster}}
AS SELECT
    loop,
    owner,
    schedule,
    if(length(due) > 0, toDateTime(due[1], 'UTC'), NULL) AS due_at,
    if(length(due) > 1, toDateTime(due[2], 'UTC'), NULL) AS due_before_at
FROM
(
    SELECT
        loop,
        owner,
        schedule,
        arraySlice(
            arrayFilter(
                due -> due < toUnixTimestamp(now()),
                arrayFlatten(arrayMap(
                    day -> arrayReverse(arrayFlatten(arrayMap(
                        hour -> arrayMap(minute -> toUnixTimestamp(toDateTime(day, 'UTC')) + hour * 3600 + minute * 60, fields[1]),
                        fields[2]))),
                    days))),
            1, 2) AS due
    FROM
    (
        SELECT
            loop,
            owner,
            schedule,
            fields,
            -- The newest three. Day of the month or day of the week: where both are said, one of them is enough.
            arraySlice(arrayFilter(
                day -> has(fields[4], toMonth(day))
                    AND multiIf(
                        texts[3] = '*', has(weekdays, toDayOfWeek(day) % 7),
                        texts[5] = '*', has(fields[3], toDayOfMonth(day)),
                        has(fields[3], toDayOfMonth(day)) OR has(weekdays, toDayOfWeek(day) % 7)),
                arrayMap(back -> toDate(now('UTC')) - back, range(multiIf(NOT is_plain, 0, texts[3] = '*' AND texts[4] = '*', 15, 800)))), 1, 3) AS days
        FROM
        (
            SELECT loop, owner, schedule, is_plain, texts, fields, arrayMap(weekday -> weekday % 7, fields[5]) AS weekdays
            FROM
            (
                SELECT
                    loop,
                    owner,
                    schedule,
                    is_plain,
                    texts,
                    -- The values that each field allows: every part of it is (from, to, step).
                    arrayMap(
                        (field, lowest, highest) -> arrayFilter(
                            value -> arrayExists(
                                part -> value >= part.1 AND value <= part.2 AND (value - part.1) % part.3 = 0,
                                arrayMap(
                                    part -> (
                                        if(part[1] = '*', lowest, toInt32OrZero(splitByChar('-', part[1])[1])),
                                        multiIf(
                                            part[1] = '*', highest,
                                            position(part[1], '-') > 0, toInt32OrZero(splitByChar('-', part[1])[2]),
                                            toInt32OrZero(part[1])),
                                        greatest(toInt32OrZero(part[2]), 1)),
                                    arrayMap(part -> splitByChar('/', part), splitByChar(',', field)))),
                            range(toInt32(lowest), toInt32(highest + 1))),
                        texts, [0, 0, 1, 1, 0], [59, 23, 31, 12, 7]) AS fields
                FROM
                (
                    SELECT
                        loop,
                        owner,
                        schedule,
                        match(plain, '^[0-9*,/-]+( [0-9*,/-]+){4}$') AS is_plain,
                        arrayResize(splitByChar(' ', plain), 5) AS texts
                    FROM
                    (
                        SELECT
                            loop,
                            owner,
                            schedule,
                            arrayFold(
                                (text, name) -> replaceAll(text, name.1, name.2),
                                [('@YEARLY', '0 0 1 1 *'), ('@ANNUALLY', '0 0 1 1 *'), ('@MONTHLY', '0 0 1 * *'),
                                 ('@WEEKLY', '0 0 * * 0'), ('@DAILY', '0 0 * * *'), ('@MIDNIGHT', '0 0 * * *'),
                                 ('@HOURLY', '0 * * * *'),
                                 ('JAN', '1'), ('FEB', '2'), ('MAR', '3'), ('APR', '4'), ('MAY', '5'), ('JUN', '6'),
                                 ('JUL', '7'), ('AUG', '8'), ('SEP', '9'), ('OCT', '10'), ('NOV', '11'), ('DEC', '12'),
                                 ('SUN', '0'), ('MON', '1'), ('TUE', '2'), ('WED', '3'), ('THU', '4'), ('FRI', '5'), ('SAT', '6')],
                                replaceRegexpAll(trimBoth(upper(schedule)), '\\s+', ' ')) AS plain
                        FROM
                        (
                            SELECT
                                loop,
                                JSONExtractString(content, 'owner') AS owner,
                                JSONExtractString(content, 'schedule') AS schedule
                            FROM (SELECT loop, content FROM {{database}}.registry_versions ORDER BY seen_at DESC LIMIT 1 BY loop)
                        )
                    )
                )
            )
        )
    )
);

-- Every loop that is registered or ever made a run, with the state that `status` shows. One pass over the runs: whatever is
-- nested deeper costs more to plan than to do.
CREATE VIEW IF NOT EXISTS {{database}}.loop_states {{on_cluster}}
AS SELECT
    loop,
    ['silently_failing', 'failing', 'suspect', 'idle', 'unmeasured', 'healthy'][rank] AS state,
    -- Worst first.
    multiIf(
        alerting AND alert_kind IN ('golden_drop', 'no_effect', 'output_collapse') AND pass_rate_since >= 0.5, 1,
        alerting AND coalesce(pass_rate_since, 0) < 0.5, 2,
        recent_verdicts >= 5 AND recent_passes / recent_verdicts < 0.5, 2,
        alerting OR phase = 'alarmed', 3,
        phase = 'watching' AND (e_value >= 0.01 * threshold OR golden_high < 0.5), 3,
        last_run_at IS NULL OR last_run_at < due_before_at, 4,
        phase = 'learning' OR alert_kind = 'unmeasured', 5,
        schedule = '' AND last_run_at < now64(3) - INTERVAL 7 DAY, 4,
        6) AS rank,
    owner,
    registered,
    last_run_at,
    if(alerting, change_at, NULL) AS since,
    alert_id,
    alert_kind,
    what_changed,
    golden_n,
    golden_score,
    golden_low,
    golden_high,
    phase,
    e_value,
    threshold
FROM
(
    SELECT
        if(d.loop != '', d.loop, t.loop) AS loop,
        d.owner AS owner,
        d.schedule AS schedule,
        d.due_before_at AS due_before_at,
        CAST(d.loop != '' OR t.is_registered AS UInt8) AS registered,
        if(t.loop = '', NULL, t.last_run_at) AS last_run_at,
        t.recent_verdicts AS recent_verdicts,
        t.recent_passes AS recent_passes,
        t.pass_rate_since AS pass_rate_since,
        t.alert_kind NOT IN ('', 'unmeasured') AS alerting,
        t.alert_id AS alert_id,
        t.alert_kind AS alert_kind,
        t.change_at AS change_at,
        t.what_changed AS what_changed,
        if(t.phase = '', 'learning', t.phase) AS phase,
        t.e_value AS e_value,
        t.threshold AS threshold,
        t.n AS golden_n,
        if(t.n = 0, NULL, t.points / t.n) AS golden_score,
        if(t.n = 0, NULL, t.golden_interval.1) AS golden_low,
        if(t.n = 0, NULL, t.golden_interval.2) AS golden_high
    FROM {{database}}.loop_schedules AS d
    FULL JOIN
    (
        -- Wilson's interval, 95 %: evals/stats/binomial-interval.ts.
        SELECT
            *,
            arrayMap(
                (mean, half, scale) -> (
                    if(mean = 0, 0., (mean + 1.9207294103470554 / n - half) / scale),
                    if(mean = 1, 1., (mean + 1.9207294103470554 / n + half) / scale)),
                [points / n],
                [1.959963984540054 * sqrt(points / n * (1 - points / n) / n + 0.9603647051735277 / (n * n))],
                [1 + 3.841458820694111 / n])[1] AS golden_interval
        FROM
        (
            SELECT
                r.loop AS loop,
                r.last_run_at AS last_run_at,
                r.is_registered AS is_registered,
                arrayCount(run -> run.3 != 2, arraySlice(r.newest_first, 1, 20)) AS recent_verdicts,
                arrayCount(run -> run.3 = 1, arraySlice(r.newest_first, 1, 20)) AS recent_passes,
                -- Of runs that are over.
                arrayFilter(run -> run.4 AND NOT (is_alerting AND run.1 < toUnixTimestamp64Milli(f.change_at)), r.newest_first) AS since,
                -- Verdicts since the change that an alert tells of.
                arrayFilter(run -> run.3 != 2 AND is_alerting AND r.is_measured, since) AS verdicts,
                if(empty(verdicts), NULL, arrayAvg(run -> run.3, verdicts)) AS pass_rate_since,
                -- The latest golden scores since then, or since the last change of level.
                arraySlice(
                    arraySlice(arrayFilter(run -> run.5 >= 0, since), 1, 200),
                    1, if(is_alerting OR s.regime = 0, 200, s.regime)) AS scored,
                length(scored) AS n,
                arraySum(run -> run.5, scored) AS points,
                f.alert_id AS alert_id,
                f.kind AS alert_kind,
                f.kind NOT IN ('', 'unmeasured') AS is_alerting,
                f.change_at AS change_at,
                f.what_changed AS what_changed,
                s.phase AS phase,
                s.e_value AS e_value,
                s.threshold AS threshold
            FROM
            (
                -- A run is its start, its id, its verdict (2: none), whether it is over, and its score (-1: none).
                SELECT
                    r.loop AS loop,
                    toDateTime64(max(r.started_at), 3) AS last_run_at,
                    argMax(r.registered, r.started_at) AS is_registered,
                    loop IN (
                        SELECT loop FROM {{database}}.eval_scores UNION DISTINCT SELECT loop FROM {{database}}.labels) AS is_measured,
                    arrayReverseSort(groupArray((
                        toUnixTimestamp64Milli(r.started_at),
                        r.run_id,
                        ifNull(r.checker_pass, 2),
                        -- As evals count it: a run without an explicit end is over when it was quiet for so long.
                        r.state != 'running' OR r.ended_at < now64(3) - INTERVAL 300 SECOND,
                        ifNull(g.golden_score, -1)))) AS newest_first
                FROM {{database}}.runs AS r
                LEFT JOIN {{database}}.golden_scores AS g ON g.loop = r.loop AND g.run_id = r.run_id
                GROUP BY r.loop
            ) AS r
            LEFT JOIN
            (
                -- The newest that fires; one that says that nobody measures the loop only where there is no other.
                SELECT *
                FROM {{database}}.alerts_now
                WHERE state = 'firing' AND NOT is_notice
                ORDER BY kind = 'unmeasured', started_at DESC, alert_id
                LIMIT 1 BY loop
            ) AS f ON f.loop = r.loop
            LEFT JOIN
            (
                -- Of several suites the worst.
                SELECT
                    h.loop AS loop,
                    multiIf(max(h.phase = 'alarmed'), 'alarmed', max(h.phase = 'watching'), 'watching', 'learning') AS phase,
                    argMax(h.e_value, h.e_value / h.threshold) AS e_value,
                    argMax(h.threshold, h.e_value / h.threshold) AS threshold,
                    max(h.regime) AS regime
                FROM
                (
                    SELECT
                        loop,
                        stream,
                        argMax(d.is_scored, d.at) AS is_scored,
                        argMax(d.phase, d.at) AS phase,
                        argMax(d.e_value, d.at) AS e_value,
                        argMax(d.threshold, d.at) AS threshold,
                        argMax(d.regime, d.at) AS regime
                    FROM {{database}}.detector_history AS d
                    GROUP BY loop, stream
                ) AS h
                WHERE h.is_scored
                GROUP BY h.loop
            ) AS s ON s.loop = r.loop
        )
    ) AS t ON t.loop = d.loop
);
