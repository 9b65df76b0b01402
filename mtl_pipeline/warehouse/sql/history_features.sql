-- rows_with_history: the rows of {{ source }} with statistics in place of tallies. One with a list among its keys is the mean over
-- the values of the list: a movie of two genres has the mean of what its user thinks of both. Decimals add up to the
-- same sum in any order.
CREATE OR REPLACE TEMP TABLE rows_with_history AS
SELECT
    source.* {% if tallies %}EXCLUDE ({{ tallies | identifiers }}){% endif %},
    {%- for feature in spec.features.history %}
    {{ history.expressions.get(feature.name) or (feature.name | identifier) }} AS {{ feature.name | identifier }},
    {%- endfor %}
FROM {{ source }} AS source
{%- for list, statistics in history.of_lists.items() %}
LEFT JOIN (
    SELECT
        _row,
        {%- for feature, expression in statistics.items() %}
        avg(({{ expression }})::DECIMAL(38, 9)) AS {{ feature | identifier }},
        {%- endfor %}
    FROM {{ by_value[list] }}
    GROUP BY _row
) AS {{ ("_of_" ~ list) | identifier }} ON {{ ("_of_" ~ list) | identifier }}._row = source.rowid
{%- endfor %};

DROP TABLE {{ source }};
{%- for table in by_value.values() %}
DROP TABLE {{ table }};
{%- endfor %}
