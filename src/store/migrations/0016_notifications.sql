-- Who was told of which change of an alert, and what is not to be told for a while. Append-only.

ALTER TABLE {{database}}.alert_deliveries {{on_cluster}}
    ADD COLUMN IF NOT EXISTS `receiver_kind` LowCardinality(String) DEFAULT 'webhook', -- alertmanager | slack | pagerduty | webhook
    ADD COLUMN IF NOT EXISTS `group_id` String, -- of the alerts that a receiver gets as one; '' where each goes by itself
    ADD COLUMN IF NOT EXISTS `outcome` LowCardinality(String) DEFAULT 'delivered', -- delivered | given_up
    ADD COLUMN IF NOT EXISTS `reason` String; -- why it was given up

-- A silence ends by itself at `until`, or by a row of its id that says `off`. By this server's clock, so that whoever
-- reads them agrees which row came first.
CREATE TABLE IF NOT EXISTS {{database}}.alert_silences {{on_cluster}}
(
    `silence_id` String,
    `state` LowCardinality(String), -- on | off
    `loop` String, -- a name, or a pattern with * and ?
    `kinds` Array(LowCardinality(String)), -- of alerts; all where there is none
    `until` DateTime64(3),
    `silenced_by` String,
    `reason` String,
    `at` DateTime64(3) DEFAULT now64(3)
)
ENGINE = {{engine:MergeTree}}
ORDER BY (silence_id, at)
SETTINGS non_replicated_deduplication_window = 10000;
