-- {{ target }}: the rows of {{ source }} with what was known about their
-- {{ keys | join(" and ") }} before each row's own time. Only strictly earlier interactions count,
-- so neither a row's own label nor one of the same moment can leak into its features.
{%- if known_at != "timestamp" %} An interaction
-- counts from the time at which its labels were known, {{ known_at }}.
{%- endif %}

CREATE OR REPLACE TEMP TABLE running_totals AS
SELECT
    {{ keys | identifiers }}, timestamp,
    {%- for label in labels %}
    sum(positives_{{ label }}) OVER so_far AS positives_{{ label }},
    sum(observed_{{ label }}) OVER so_far AS observed_{{ label }},
    sum(total_{{ label }}) OVER so_far AS total_{{ label }},
    {%- endfor %}
FROM (
    SELECT
        {{ keys | identifiers }},
        timestamp,
        {%- for label in labels %}
        count(*) FILTER (WHERE {{ label | identifier }} > 0)::DOUBLE AS positives_{{ label }},
        count({{ label | identifier }})::DOUBLE AS observed_{{ label }},
        sum({{ label | identifier }}::DECIMAL(38, 9)) AS total_{{ label }},
        {%- endfor %}
    FROM (
{% include "history_log.sql" %}
    )
    GROUP BY {{ keys | identifiers }}, timestamp
)
WINDOW so_far AS (PARTITION BY {{ keys | identifiers }} ORDER BY timestamp ROWS UNBOUNDED PRECEDING);

CREATE OR REPLACE TEMP TABLE {{ target }} AS
SELECT
    source.*,
    {%- for feature in features %}
    {%- set before = "before_" ~ (feature.within_days or "") %}
    {%- if feature.statistic == "count" %}
    coalesce(earlier.positives_{{ feature.label }}, 0)
        {%- if feature.within_days %} - coalesce({{ before }}.positives_{{ feature.label }}, 0){% endif %}
        AS {{ feature.name | identifier }},
    {%- elif feature.within_days %}
    (earlier.total_{{ feature.label }} - coalesce({{ before }}.total_{{ feature.label }}, 0))::DOUBLE
        / nullif(earlier.observed_{{ feature.label }} - coalesce({{ before }}.observed_{{ feature.label }}, 0), 0)
        AS {{ feature.name | identifier }},
    {%- else %}
    earlier.total_{{ feature.label }}::DOUBLE / nullif(earlier.observed_{{ feature.label }}, 0)
        AS {{ feature.name | identifier }},
    {%- endif %}
    {%- endfor %}
FROM {{ source }} AS source
ASOF LEFT JOIN running_totals AS earlier
    ON {% for key in keys %}source.{{ key | identifier }} = earlier.{{ key | identifier }} AND {% endfor -%}
    source.timestamp > earlier.timestamp
{%- for days in windows %}
ASOF LEFT JOIN running_totals AS before_{{ days }}
    ON {% for key in keys %}source.{{ key | identifier }} = before_{{ days }}.{{ key | identifier }} AND {% endfor -%}
    source.timestamp - INTERVAL {{ days }} DAY > before_{{ days }}.timestamp
{%- endfor %};

DROP TABLE running_totals;
{%- if source != "impressions" %}
DROP TABLE {{ source }};
{%- endif %}
