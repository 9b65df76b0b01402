-- Every refused row of all raw files.
CREATE OR REPLACE TABLE rejected_rows AS
{%- for table in tables %}
SELECT * FROM {{ table }}_rejected
{{ "UNION ALL" if not loop.last }}
{%- endfor %}
ORDER BY source_table, file, line;
