-- rows_by_value: the rows of {{ source }} once for each value of {{ list }}, with what the statistics below are made of.
CREATE OR REPLACE TEMP TABLE rows_by_value AS
SELECT
    rowid AS _row, timestamp, {{ columns | listed }}
    unnest(list_distinct({{ list | identifier }})) AS {{ list | identifier }}
FROM {{ source }};
