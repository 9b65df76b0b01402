-- {{ target }}: what is known now of each {{ keys | join(" and ") }} that the log holds. It is what history.sql gives for
-- rows of this moment, down to the same sums of decimals, but one pass over the log serves any number of rows.
CREATE OR REPLACE TEMP TABLE {{ target }} AS
SELECT
    {{ keys | identifiers }},
    {%- for feature in features %}
    {%- set label = feature.label | identifier %}
    {%- set recent %}{% if feature.within_days %}timestamp >= getvariable('now') - INTERVAL {{ feature.within_days }} DAY{% else %}true{% endif %}{% endset %}
    {%- if feature.statistic == "count" %}
    count(*) FILTER (WHERE {{ label }} > 0 AND {{ recent }})::DOUBLE
    {%- else %}
    sum({{ label }}::DECIMAL(38, 9)) FILTER (WHERE {{ recent }})::DOUBLE
        / nullif(count({{ label }}) FILTER (WHERE {{ recent }}), 0)
    {%- endif %} AS {{ feature.name | identifier }},
    {%- endfor %}
FROM (
{% include "history_log.sql" %}
)
WHERE timestamp < getvariable('now'){% if labels_with_steps %} AND (until IS NULL OR until >= getvariable('now')){% endif %}
GROUP BY {{ keys | identifiers }};
