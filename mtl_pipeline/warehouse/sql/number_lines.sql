-- {{ view }}: the rows of {{ records }} with the file and line of each. They are the readable records
-- in the order of the files, so rowid is a record's number; within a run of records on consecutive
-- lines, number and line differ by a constant. Runs are cut into blocks for a fast join.
CREATE OR REPLACE TEMP VIEW {{ view }} AS
SELECT
    {{ records }}.rowid AS _record,
    {{ records }}.* {% if has_file %}EXCLUDE (source_file){% endif %},
    {%- if single_run %}
    {{ file | literal }} AS source_file,
    {{ records }}.rowid + {{ line_offset }} AS source_line
FROM {{ records }}
    {%- else %}
    {% if file %}{{ file | literal }} AS {% else %}line_runs.{% endif %}source_file,
    {{ records }}.rowid + line_runs.line_offset AS source_line
FROM {{ records }}
JOIN line_runs
    ON {{ records }}.rowid // {{ block_records }} = line_runs.block
    AND {{ records }}.rowid BETWEEN line_runs.first_record AND line_runs.last_record
    {%- endif %};
