-- The history of each of {{ rows }}, as known now, in the order of {{ keys | join(", ") }}.
WITH candidates AS (
    FROM {{ rows }}
    {%- for group in history.plain_groups() %}
    LEFT JOIN {{ group.table }} {% if group.keys %}USING ({{ group.keys | identifiers }}){% else %}ON true{% endif %}
    {%- endfor %}
)
{%- for list, statistics in history.of_lists.items() %},
{{ ("_of_" ~ list) | identifier }} AS (
    SELECT
        {{ keys | listed }}
        {%- for feature, expression in statistics.items() %}
        avg(({{ expression }})::DECIMAL(38, 9)) AS {{ feature | identifier }},
        {%- endfor %}
    FROM (SELECT * REPLACE (unnest(list_distinct({{ list | identifier }})) AS {{ list | identifier }}) FROM candidates)
    {%- for group in history.list_groups(list) %}
    LEFT JOIN {{ group.table }} USING ({{ group.keys | identifiers }})
    {%- endfor %}
    GROUP BY {{ keys | identifiers }}
)
{%- endfor %}
SELECT
    {{ keys | listed }}
    {%- for feature, expression in history.expressions.items() %}
    {{ expression }} AS {{ feature | identifier }},
    {%- endfor %}
    {%- for statistics in history.of_lists.values() %}
    {{ statistics | listed }}
    {%- endfor %}
FROM candidates
{%- for list in history.of_lists %}
LEFT JOIN {{ ("_of_" ~ list) | identifier }} USING ({{ keys | identifiers }})
{%- endfor %}
ORDER BY {{ keys | identifiers }}
