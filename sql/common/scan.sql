-- Read one CSV file as strings.
--   scanned_records   a row per readable record, numbered in file order; blank strings become NULL
--   scanned_rejects   a row per record that is not valid CSV; `record` counts records, header = 1

CREATE OR REPLACE TEMP TABLE scanned_records AS
SELECT
    row_number() OVER () AS good_record,
    {%- for column in columns %}
    nullif(trim({{ column | identifier }}), '') AS {{ column | identifier }},
    {%- endfor %}
FROM read_csv(
    {{ path | literal }},
    header = true,
    auto_detect = false,
    delim = {{ delimiter | literal }},
    quote = '"',
    escape = '"',
    new_line = {{ new_line | literal }},
    columns = { {%- for column in columns %}{{ column | literal }}: 'VARCHAR', {% endfor %} },
    store_rejects = true,
    rejects_scan = 'csv_scans',
    rejects_table = 'csv_rejects',
    rejects_limit = 0
);

CREATE OR REPLACE TEMP TABLE scanned_rejects AS
SELECT
    line::BIGINT AS record,
    arg_min(column_name, column_idx) AS "column",
    CASE arg_min(error_type::VARCHAR, column_idx)
        WHEN 'MISSING COLUMNS' THEN 'too few columns'
        WHEN 'TOO MANY COLUMNS' THEN 'too many columns'
        WHEN 'UNQUOTED VALUE' THEN 'quote not closed'
        WHEN 'INVALID ENCODING' THEN 'not UTF-8'
        ELSE lower(arg_min(error_type::VARCHAR, column_idx))
    END AS reason,
    trim(any_value(csv_line), e'\r\n') AS content
FROM csv_rejects
WHERE scan_id = (SELECT max(scan_id) FROM csv_scans)
GROUP BY line;
