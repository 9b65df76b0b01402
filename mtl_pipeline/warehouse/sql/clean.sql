-- Which rows of {{ table }} are refused, beyond those that are not valid CSV.
-- `typed` holds what sql/<pipeline>/{{ table }}.sql made of each record, with a `rejection` where it
-- refused one. Here the rules that hold for every pipeline are added: no missing key or time, no reference to
-- an unknown row{% if not spec.merges(table) %}, no key twice (the first line wins){% endif %}.
{% set row, rows = ("_record", "cleaned") if "source_line" in key else ("typed.rowid", "typed") %}

CREATE OR REPLACE TEMP TABLE refused AS
SELECT
    {{ row }} AS record,
    CASE
        WHEN rejection IS NOT NULL THEN rejection
        {%- for column in never_null %}
        WHEN {{ column | identifier }} IS NULL THEN reject({{ column | literal }}, 'missing')
        {%- endfor %}
    END AS rejection
FROM {{ rows }}
WHERE rejection IS NOT NULL{% for column in never_null %} OR {{ column | identifier }} IS NULL{% endfor %};

{% for reference in references -%}
{%- set id = reference[:-1] ~ "_id" -%}
INSERT INTO refused
SELECT record, reject({{ id | literal }}, 'unknown {{ reference[:-1] }}')
FROM (
    SELECT typed.rowid AS record
    FROM typed
    ANTI JOIN {{ reference }} ON typed.{{ id }} = {{ reference }}.{{ id }}
)
ANTI JOIN refused USING (record);

{% endfor -%}
{% if not spec.merges(table) -%}
-- Sorting hashes is several times faster than grouping by keys. Equal hashes are only a suspicion.
CREATE OR REPLACE TEMP TABLE suspects AS
SELECT DISTINCT hash
FROM (
    SELECT hash, lag(hash) OVER () AS previous
    FROM (SELECT hash({{ key | identifiers }}) AS hash FROM {{ rows }} ORDER BY hash)
)
WHERE hash = previous;

INSERT INTO refused
SELECT _record, reject({{ key | join(', ') | literal }}, 'duplicate')
FROM (
    SELECT
        _record,
        row_number() OVER (PARTITION BY {{ key | identifiers }} ORDER BY source_file, source_line) AS place
    FROM cleaned
    SEMI JOIN (
        SELECT {{ row }} AS record
        FROM {{ rows }}
        SEMI JOIN suspects ON hash({{ key | identifiers }}) = suspects.hash
        ANTI JOIN refused ON {{ row }} = refused.record
    ) AS repeated ON _record = repeated.record
)
WHERE place > 1;
{%- endif %}

CREATE OR REPLACE TEMP TABLE refused_rows AS
SELECT
    source_file AS file,
    source_line AS line,
    refused.rejection['column'] AS "column",
    refused.rejection['reason'] AS reason
FROM refused JOIN cleaned ON refused.record = cleaned._record
UNION ALL
SELECT file, line, "column", reason FROM unreadable;
