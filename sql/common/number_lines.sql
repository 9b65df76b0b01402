-- raw_{{ table }}: the readable records of the file, each with its file and line number.
-- A readable record's position is its own number plus the rejects that came before it; its line is
-- one more (the header), plus the lines that quoted line breaks and blank lines took up before it.

CREATE OR REPLACE TEMP TABLE raw_{{ table }} AS
WITH positioned AS (
    SELECT
        records.* EXCLUDE (good_record),
        records.good_record{% if any_rejects %} + coalesce(rejects.rejects_so_far, 0){% endif %} AS source_position
    FROM scanned_records AS records
    {%- if any_rejects %}
    ASOF LEFT JOIN reject_positions AS rejects ON records.good_record > rejects.good_records_before
    {%- endif %}
)
SELECT
    positioned.* EXCLUDE (source_position),
    {{ file | literal }} AS source_file,
    positioned.source_position + 1{% if any_shifts %} + coalesce(shifts.extra_lines, 0){% endif %} AS source_line
FROM positioned
{%- if any_shifts %}
ASOF LEFT JOIN line_shifts AS shifts ON positioned.source_position > shifts.position
{%- endif %};

DROP TABLE scanned_records;
