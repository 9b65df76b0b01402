-- {{ target }}: the rows of {{ source }} with what was known about their
-- {{ keys | join(" and ") }} before each row's own time. Only what was known strictly earlier counts,
-- so neither a row's own label nor one of the same moment can leak into its features.
--
-- A label counts from the time at which it became known until it takes another value, or is too old for the feature.
-- running_totals adds it at the first of these times and subtracts it at the second.
{%- macro amount(feature) %}
{%- set label = feature.label | identifier %}
{%- if feature.statistic == "count" %}({{ label }} > 0)::INTEGER{% else %}{{ label }}::DECIMAL(38, 9){% endif %}
{%- endmacro %}

CREATE OR REPLACE TEMP TABLE running_totals AS
WITH log AS (
{% include "history_log.sql" %}
)
SELECT
    {{ keys | identifiers }}, timestamp,
    {%- for feature in features %}
    {%- if feature.statistic == "mean" %}
    sum(observed_{{ feature.name }}) OVER so_far AS observed_{{ feature.name }},
    {%- endif %}
    sum(total_{{ feature.name }}) OVER so_far AS total_{{ feature.name }},
    {%- endfor %}
FROM (
    SELECT
        {{ keys | identifiers }},
        timestamp,
        {%- for feature in features %}
        sum(observed_{{ feature.name }}) AS observed_{{ feature.name }},
        sum(total_{{ feature.name }}) AS total_{{ feature.name }},
        {%- endfor %}
    FROM (
        SELECT
            {{ keys | identifiers }}, timestamp,
            {%- for feature in features %}
            ({{ feature.label | identifier }} IS NOT NULL)::INTEGER AS observed_{{ feature.name }},
            {{ amount(feature) }} AS total_{{ feature.name }},
            {%- endfor %}
        FROM log
        {%- for days in features | map(attribute="within_days") | unique %}
        UNION ALL
        SELECT
            {{ keys | identifiers }},
            {% if days %}least(until, timestamp + INTERVAL {{ days }} DAY){% else %}until{% endif %},
            {%- for feature in features %}
            {%- if feature.within_days == days %}
            -({{ feature.label | identifier }} IS NOT NULL)::INTEGER,
            -{{ amount(feature) }},
            {%- else %}
            0, 0,
            {%- endif %}
            {%- endfor %}
        FROM log
        {%- if not days %} WHERE until IS NOT NULL{% endif %}
        {%- endfor %}
    )
    GROUP BY {{ keys | identifiers }}, timestamp
)
WINDOW so_far AS (PARTITION BY {{ keys | identifiers }} ORDER BY timestamp ROWS UNBOUNDED PRECEDING);

CREATE OR REPLACE TEMP TABLE {{ target }} AS
SELECT
    source.*,
    {%- for feature in features %}
    {%- if feature.statistic == "count" %}
    coalesce(earlier.total_{{ feature.name }}, 0)::DOUBLE AS {{ feature.name | identifier }},
    {%- else %}
    earlier.total_{{ feature.name }}::DOUBLE / nullif(earlier.observed_{{ feature.name }}, 0)
        AS {{ feature.name | identifier }},
    {%- endif %}
    {%- endfor %}
FROM {{ source }} AS source
ASOF LEFT JOIN running_totals AS earlier
    ON {% for key in keys %}source.{{ key | identifier }} = earlier.{{ key | identifier }} AND {% endfor -%}
    source.timestamp > earlier.timestamp;

DROP TABLE running_totals;
DROP TABLE {{ source }};
