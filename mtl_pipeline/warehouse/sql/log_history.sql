-- {{ target }}: the rows of {{ source }} with what was known before each row's own time, where these rows
-- are the log itself, with or without sampled negatives among them. A window per key and period gives
-- the same as history.sql, for less: EXCLUDE GROUP leaves out the row and all rows of the same moment.
-- Whole numbers and decimals add up to the same sum in any order, so the same log gives the same examples on any
-- number of threads; floating point numbers do not.
CREATE OR REPLACE TEMP TABLE {{ target }} AS
SELECT
    source.*,
    {%- for feature in features %}
    {%- set known %}NOT sampled{% for key in feature.by %} AND {{ key | identifier }} IS NOT NULL{% endfor %}{% endset %}
    {%- if feature.statistic == "count" %}
    (count(*) FILTER (WHERE {{ known }} AND {{ feature.label | identifier }} > 0) OVER {{ windows[feature.name] }})::DOUBLE
    {%- else %}
    avg({{ feature.label | identifier }}{{ '' if feature.label in whole_numbers else '::DECIMAL(38, 9)' }}) FILTER (WHERE {{ known }}) OVER {{ windows[feature.name] }}
    {%- endif %} AS {{ feature.name | identifier }},
    {%- endfor %}
FROM {{ source }} AS source
WINDOW
    {%- for (keys, days), name in names.items() %}
    {{ name }} AS (
        PARTITION BY {{ keys | identifiers }} ORDER BY timestamp
        RANGE BETWEEN {{ "INTERVAL " ~ days ~ " DAY" if days else "UNBOUNDED" }} PRECEDING AND CURRENT ROW EXCLUDE GROUP
    ){{ "," if not loop.last }}
    {%- endfor %};

DROP TABLE {{ source }};
