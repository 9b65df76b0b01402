-- split_boundaries: the times that divide the splits, and `_now`, when the log ends.
CREATE OR REPLACE TEMP TABLE split_boundaries AS
SELECT
    {%- if spec.split.validation_from %}
    {{ spec.split.validation_from | literal }}::TIMESTAMP AS _validation_start,
    {{ spec.split.test_from | literal }}::TIMESTAMP AS _test_start,
    {%- elif spec.split.by_time %}
    quantile_disc(timestamp, {{ spec.split.train }}) AS _validation_start,
    quantile_disc(timestamp, {{ spec.split.train + spec.split.validation }}) AS _test_start,
    {%- endif %}
    max({{ end_of_log }}) + INTERVAL 1 SECOND AS _now
FROM interactions;
