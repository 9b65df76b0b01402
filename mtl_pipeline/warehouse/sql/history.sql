-- {{ target }}: the rows of {{ source }} with tallies of what was known about their {{ group.keys | join(" and ") or "log" }}
-- before each row's own time. Only what was known strictly earlier counts, so neither a row's own label nor one of the
-- same moment can leak into its features.
--
-- A label counts from the time at which it was known until it takes another value, or is too old for the feature.
-- running_totals adds it at the first of these times and takes it away at the second.
CREATE OR REPLACE TEMP TABLE running_totals AS
WITH log AS (
{% include "history_log.sql" %}
)
SELECT
    {{ group.keys | listed }} timestamp,
    {%- for name, tally in group.tallies.items() %}
    {{ "max" if tally.amount == "latest" else "sum" }}({{ name }}) OVER so_far AS {{ name }},
    {%- endfor %}
FROM (
    SELECT
        {{ group.keys | listed }}
        timestamp,
        {%- for name, tally in group.tallies.items() %}
        {{ "max" if tally.amount == "latest" else "sum" }}({{ name }}) AS {{ name }},
        {%- endfor %}
    FROM (
        SELECT
            {{ group.keys | listed }} timestamp,
            {%- for name, tally in group.tallies.items() %}
            {{ tally.sql }} AS {{ name }},
            {%- endfor %}
        FROM log
        {%- for days in group.periods %}
        UNION ALL
        SELECT
            {{ group.keys | listed }}
            {% if days %}least(until, timestamp + INTERVAL {{ days }} DAY){% else %}until{% endif %},
            {%- for name, tally in group.tallies.items() %}
            {% if tally.amount == "latest" or tally.within_days != days %}NULL{% else %}-{{ tally.sql }}{% endif %},
            {%- endfor %}
        FROM log
        {%- if not days %} WHERE until IS NOT NULL{% endif %}
        {%- endfor %}
    )
    GROUP BY {{ group.keys | listed }} timestamp
)
WINDOW so_far AS ({% if group.keys %}PARTITION BY {{ group.keys | identifiers }} {% endif %}ORDER BY timestamp ROWS UNBOUNDED PRECEDING);

CREATE OR REPLACE TEMP TABLE {{ target }} AS
SELECT
    source.*,
    {%- for name in group.tallies %}
    earlier.{{ name }},
    {%- endfor %}
FROM {{ source }} AS source
ASOF LEFT JOIN running_totals AS earlier
    ON {% for key in group.keys %}source.{{ key | identifier }} = earlier.{{ key | identifier }} AND {% endfor -%}
    source.timestamp > earlier.timestamp;

DROP TABLE running_totals;
DROP TABLE {{ source }};
