-- From raw_{{ table }} to the canonical table `{{ table }}` and its share of the rejected rows.
-- `cleaned` holds what sql/<pipeline>/{{ table }}.sql made of each record, with a `rejection` where
-- it refused one. Here the rules that hold for every pipeline are added: no missing key, no key
-- twice (the first line wins){% if references %}, no reference to an unknown row{% endif %}.

CREATE OR REPLACE TEMP TABLE repeated_keys AS
SELECT {{ key | identifiers }}, min((source_file, source_line)) AS first_seen
FROM cleaned
WHERE rejection IS NULL
GROUP BY ALL
HAVING count(*) > 1;

CREATE OR REPLACE TEMP TABLE judged AS
SELECT
    cleaned.* EXCLUDE (rejection),
    CASE
        WHEN rejection IS NOT NULL THEN rejection
        {%- for column in key %}
        WHEN cleaned.{{ column | identifier }} IS NULL THEN reject({{ column | literal }}, 'missing')
        {%- endfor %}
        {%- for reference in references %}
        WHEN {{ reference.table }}.{{ reference.column }} IS NULL
            THEN reject({{ reference.column | literal }}, 'unknown {{ reference.name }}')
        {%- endfor %}
        WHEN (cleaned.source_file, cleaned.source_line) > repeated_keys.first_seen
            THEN reject({{ key | join(', ') | literal }}, 'duplicate')
    END AS rejection
FROM cleaned
LEFT JOIN repeated_keys USING ({{ key | identifiers }})
{%- for reference in references %}
LEFT JOIN {{ reference.table }} ON cleaned.{{ reference.column }} = {{ reference.table }}.{{ reference.column }}
{%- endfor %};

BEGIN TRANSACTION;

CREATE OR REPLACE TABLE {{ table }} AS
SELECT * EXCLUDE (rejection) FROM judged WHERE rejection IS NULL ORDER BY {{ key | identifiers }};

CREATE OR REPLACE TABLE {{ table }}_rejected AS
SELECT
    {{ table | literal }} AS source_table,
    judged.source_file AS file,
    judged.source_line AS line,
    judged.rejection['column'] AS "column",
    judged.rejection['reason'] AS reason,
    to_json(raw)::VARCHAR AS content
FROM judged
JOIN (SELECT * FROM raw_{{ table }}) AS raw USING (source_file, source_line)
WHERE judged.rejection IS NOT NULL
UNION ALL
SELECT {{ table | literal }}, file, line, "column", reason, content FROM unreadable_records
ORDER BY file, line;

COMMIT;
