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
    SELECT loop, run_id, suite_score AS score, false AS human
    FROM
    (
        SELECT loop, suite, run_id, argMin(tuple(score), scored_at).1 AS suite_score
        FROM {{database}}.eval_scores
        GROUP BY loop, suite, run_id
    )
    WHERE suite_score IS NOT NULL
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
                arrayMap(back -> toDate(now('UTC')) - back, range(if(is_plain, 800, 0)))), 1, 3) AS days
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
                                            length(part) > 1, highest,
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

-- Every loop that is registered or ever made a run, with the state that `status` shows.
CREATE VIEW IF NOT EXISTS {{database}}.loop_states {{on_cluster}}
AS WITH
    -- Of the alerts that fire the newest; one that says that nobody measures the loop only where there is no other.
    firing AS
    (
        SELECT *
        FROM {{database}}.alerts_now
        WHERE state = 'firing' AND NOT is_notice
        ORDER BY kind = 'unmeasured', started_at DESC, alert_id
        LIMIT 1 BY loop
    ),
    measured AS
    (
        SELECT loop FROM {{database}}.eval_scores UNION DISTINCT SELECT loop FROM {{database}}.labels
    ),
    recent AS
    (
        SELECT loop, toDateTime64(max(started_at), 3) AS last_run_at, countIf(checker_pass IS NOT NULL) AS verdicts, countIf(checker_pass = 1) AS passes
        FROM
        (
            SELECT loop, run_id, started_at, checker_pass
            FROM {{database}}.runs
            ORDER BY started_at DESC, run_id DESC
            LIMIT 20 BY loop
        )
        GROUP BY loop
    ),
    -- Verdicts since the change that an alert tells of, of runs that are over.
    since_change AS
    (
        SELECT r.loop AS loop, avg(r.checker_pass) AS pass_rate
        FROM {{database}}.runs AS r
        INNER JOIN firing AS f ON f.loop = r.loop
        WHERE r.loop IN (SELECT loop FROM firing) AND r.loop IN (SELECT loop FROM measured)
            AND (r.state != 'running' OR r.ended_at < now64(3) - INTERVAL 300 SECOND)
            AND toUnixTimestamp64Milli(r.started_at) >= toUnixTimestamp64Milli(f.change_at)
        GROUP BY r.loop
    ),
    standing AS
    (
        SELECT
            h.loop AS loop,
            multiIf(max(h.phase = 'alarmed'), 'alarmed', max(h.phase = 'watching'), 'watching', 'learning') AS phase,
            argMax(h.e_value, h.e_value / h.threshold) AS e_value,
            argMax(h.threshold, h.e_value / h.threshold) AS threshold,
            max(h.regime) AS regime
        FROM
        (
            SELECT * FROM {{database}}.detector_history ORDER BY at DESC LIMIT 1 BY loop, stream
        ) AS h
        WHERE h.is_scored
        GROUP BY h.loop
    ),
    -- The latest golden scores since the last change of level: at most 200.
    golden AS
    (
        -- Wilson's interval, 95 %: evals/stats/binomial-interval.ts.
        SELECT
            loop,
            n,
            toNullable(points / n) AS mean,
            1.959963984540054 AS z,
            z * sqrt(mean * (1 - mean) / n + z * z / (4 * n * n)) AS half,
            if(points = 0, 0, (mean + z * z / (2 * n) - half) / (1 + z * z / n)) AS low,
            if(points = n, 1, (mean + z * z / (2 * n) + half) / (1 + z * z / n)) AS high
        FROM
        (
            SELECT l.loop AS loop, count() AS n, sum(l.score) AS points
            FROM
            (
                SELECT loop, started_at, score, row_number() OVER (PARTITION BY loop ORDER BY started_at DESC, run_id DESC) AS recency
                FROM
                (
                    SELECT r.loop AS loop, r.run_id AS run_id, r.started_at AS started_at, assumeNotNull(g.golden_score) AS score
                    FROM {{database}}.golden_scores AS g
                    INNER JOIN (SELECT loop, run_id, started_at, ended_at, state FROM {{database}}.runs) AS r
                        ON r.loop = g.loop AND r.run_id = g.run_id
                    WHERE r.state != 'running' OR r.ended_at < now64(3) - INTERVAL 300 SECOND
                    ORDER BY started_at DESC, run_id DESC
                    LIMIT 200 BY loop
                )
            ) AS l
            LEFT JOIN standing AS s ON s.loop = l.loop
            LEFT JOIN (SELECT loop, change_at FROM firing WHERE kind != 'unmeasured') AS f ON f.loop = l.loop
            WHERE if(f.loop != '', toUnixTimestamp64Milli(l.started_at) >= toUnixTimestamp64Milli(f.change_at),
                s.regime = 0 OR l.recency <= s.regime)
            GROUP BY l.loop
        )
    )
SELECT
    loop,
    multiIf(
        alerting AND alert_kind IN ('golden_drop', 'no_effect', 'output_collapse') AND pass_rate_since >= 0.5, 'silently_failing',
        alerting AND coalesce(pass_rate_since, 0) < 0.5, 'failing',
        recent_verdicts >= 5 AND recent_passes / recent_verdicts < 0.5, 'failing',
        alerting OR phase = 'alarmed', 'suspect',
        phase = 'watching' AND (e_value >= 0.01 * threshold OR golden_high < 0.5), 'suspect',
        last_run_at IS NULL OR last_run_at < due_before_at, 'idle',
        phase = 'learning' OR alert_kind = 'unmeasured', 'unmeasured',
        schedule = '' AND last_run_at < now64(3) - INTERVAL 7 DAY, 'idle',
        'healthy') AS state,
    -- Worst first.
    indexOf(['silently_failing', 'failing', 'suspect', 'idle', 'unmeasured', 'healthy'], state) AS rank,
    owner,
    registered,
    last_run_at,
    if(alerting, change_at, if(state = 'idle', last_run_at, NULL)) AS since,
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
        n.loop AS loop,
        d.owner AS owner,
        d.schedule AS schedule,
        d.due_before_at AS due_before_at,
        CAST(d.loop != '' AS UInt8) AS registered,
        r.verdicts AS recent_verdicts,
        r.passes AS recent_passes,
        if(r.loop = '', NULL, r.last_run_at) AS last_run_at,
        f.kind NOT IN ('', 'unmeasured') AS alerting,
        f.alert_id AS alert_id,
        f.kind AS alert_kind,
        f.change_at AS change_at,
        f.what_changed AS what_changed,
        c.pass_rate AS pass_rate_since,
        if(s.phase = '', 'learning', s.phase) AS phase,
        s.e_value AS e_value,
        s.threshold AS threshold,
        ifNull(g.n, 0) AS golden_n,
        g.mean AS golden_score,
        g.low AS golden_low,
        g.high AS golden_high
    FROM
    (
        SELECT loop FROM {{database}}.run_parts UNION DISTINCT SELECT loop FROM {{database}}.registry_versions
    ) AS n
    LEFT JOIN {{database}}.loop_schedules AS d ON d.loop = n.loop
    LEFT JOIN recent AS r ON r.loop = n.loop
    LEFT JOIN firing AS f ON f.loop = n.loop
    LEFT JOIN since_change AS c ON c.loop = n.loop
    LEFT JOIN standing AS s ON s.loop = n.loop
    LEFT JOIN golden AS g ON g.loop = n.loop
);
