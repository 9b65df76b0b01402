-- {{ target }}: the rows of {{ source }} with tallies, where these rows are the log itself, with or without sampled negatives
-- among them. Windows over them give the same as history.sql, in less than half the time: EXCLUDE GROUP leaves out the row
-- and all rows of the same moment.
CREATE OR REPLACE TEMP TABLE {{ target }} AS
SELECT
    source.*,
    {%- for group in groups %}
    {%- for name, tally in group.tallies.items() %}
    {{ "max" if tally.amount == "latest" else "sum" }}({{ tally.sql if tally.label not in whole_numbers else tally.whole_sql }})
        FILTER (WHERE NOT sampled{% for key in group.keys %} AND {{ key | identifier }} IS NOT NULL{% endfor %})
        OVER (
            PARTITION BY {{ group.keys | identifiers }} ORDER BY timestamp
            RANGE BETWEEN {{ "INTERVAL " ~ tally.within_days ~ " DAY" if tally.within_days else "UNBOUNDED" }} PRECEDING AND CURRENT ROW EXCLUDE GROUP
        ) AS {{ name }},
    {%- endfor %}
    {%- endfor %}
FROM {{ source }} AS source;

DROP TABLE {{ source }};
