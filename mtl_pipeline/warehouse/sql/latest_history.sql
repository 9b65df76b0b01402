-- {{ group.table }}: what is known now of each {{ group.keys | join(" and ") or "log" }}. It is what history.sql gives for
-- rows of this moment, the same sums of decimals included, but one pass over the log serves any number of rows.
CREATE OR REPLACE TEMP TABLE {{ group.table }} AS
SELECT
    {{ group.keys | listed }}
    {%- for name, tally in group.tallies.items() %}
    {%- if tally.amount == "latest" %}
    max({{ tally.sql }}) AS {{ name }},
    {%- else %}
    sum({{ tally.sql }}) FILTER (WHERE (until IS NULL OR until >= getvariable('now')){% if tally.within_days %} AND timestamp >= getvariable('now') - INTERVAL {{ tally.within_days }} DAY{% endif %}) AS {{ name }},
    {%- endif %}
    {%- endfor %}
FROM (
{% include "history_log.sql" %}
)
WHERE timestamp < getvariable('now')
{%- if group.keys %}
GROUP BY {{ group.keys | identifiers }}
{%- endif %};
