-- rows_with_history: the rows of {{ source }} with what was known before each row's own time, where these rows
-- are the log itself, with or without sampled negatives among them. Windows give the same as
-- history.sql for less: EXCLUDE GROUP leaves out the row and all rows of the same moment.
-- Whole numbers and decimals add up to the same sum in any order, so the same log gives the same examples on any
-- number of threads; floating point numbers do not.
CREATE OR REPLACE TEMP TABLE rows_with_history AS
SELECT
    source.*,
    {%- for feature in features %}
    {%- set so_far %}(
        PARTITION BY {{ feature.by | identifiers }} ORDER BY timestamp
        RANGE BETWEEN {{ "INTERVAL " ~ feature.within_days ~ " DAY" if feature.within_days else "UNBOUNDED" }} PRECEDING AND CURRENT ROW EXCLUDE GROUP
    ){% endset %}
    {%- set known %}NOT sampled{% for key in feature.by %} AND {{ key | identifier }} IS NOT NULL{% endfor %}{% endset %}
    {%- if feature.statistic == "count" %}
    (count(*) FILTER (WHERE {{ known }} AND {{ feature.label | identifier }} > 0) OVER {{ so_far }})::DOUBLE
    {%- else %}
    avg({{ feature.label | identifier }}{{ '' if feature.label in whole_numbers else '::DECIMAL(38, 9)' }}) FILTER (WHERE {{ known }}) OVER {{ so_far }}
    {%- endif %} AS {{ feature.name | identifier }},
    {%- endfor %}
FROM {{ source }} AS source;

DROP TABLE {{ source }};
