-- What a score took of a judge, in US dollars: NULL where nothing was paid, or nobody knows how much.
ALTER TABLE {{database}}.eval_scores {{on_cluster}} ADD COLUMN IF NOT EXISTS `cost_usd` Nullable(Float64);
