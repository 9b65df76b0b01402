-- The records that are not valid CSV, one row each. `place` counts the records of the piece from 1; of a
-- remote file, header, records and blank lines.
SELECT
    file_path AS path,
    line::BIGINT AS place,
    arg_min(column_name, column_idx) AS "column",
    CASE arg_min(error_type::VARCHAR, column_idx)
        WHEN 'MISSING COLUMNS' THEN 'too few columns'
        WHEN 'TOO MANY COLUMNS' THEN 'too many columns'
        WHEN 'UNQUOTED VALUE' THEN 'quote not closed'
        WHEN 'CAST' THEN 'not valid JSON'
        WHEN 'INVALID ENCODING' THEN 'not UTF-8'
        WHEN 'LINE SIZE OVER MAXIMUM' THEN 'too long'
        ELSE lower(arg_min(error_type::VARCHAR, column_idx))
    END AS reason,
    trim(any_value(csv_line), e'\r\n') AS content
FROM csv_rejects
JOIN csv_scans USING (scan_id, file_id)
GROUP BY ALL
ORDER BY path, place
