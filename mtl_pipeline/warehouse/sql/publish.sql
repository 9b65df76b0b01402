-- The canonical table `{{ table }}` and its rejected rows, both or neither.
-- Nothing depends on the order of the rows, which carry file and line; keeping it would cost a fifth more time.
SET preserve_insertion_order = false;
BEGIN TRANSACTION;

{%- set labels, timed = (spec.labels, spec.timed) if table == "interactions" else ([], false) %}
CREATE OR REPLACE TABLE {{ table }} AS
{%- if spec.merges(table) %}
-- Rows of one key are events of one interaction, which gets the earliest time, the largest value of each label, and
-- everything else from the first event. Lines of one user or item make one row, of the first of them.
{%- if timed %} "<label> over time" says since when the label has had which value: a split
-- must not know more of it than was known before the next split starts.
{%- endif %}
SELECT
    events.* EXCLUDE (
        _record, rejection{% if has_known_at %}, known_at{% endif %}
        {%- if timed %}{% for label in labels %}, {{ ("risen " ~ label) | identifier }}{% endfor %}{% endif %}
    ){% for label in labels %}
    {{- " REPLACE (" if loop.first }}
        max({{ label | identifier }}) OVER all_events AS {{ label | identifier }}{{ ")" if loop.last else "," }}
    {%- endfor %},
    {%- if timed %}
    {%- for label in labels %}
    list_sort(
        list({'since': {{ times_known[label] }}, 'value': {{ label | identifier }}})
            FILTER (WHERE {{ ("risen " ~ label) | identifier }}) OVER all_events
    ) AS {{ steps_column(label) | identifier }},
    {%- endfor %}
    max(timestamp) OVER all_events AS last_timestamp,
    {%- endif %}
    count(*) OVER all_events AS source_rows
FROM (
    SELECT
        cleaned.*,
        {%- if timed %}
        {%- for label in labels %}
        {{ label | identifier }} IS NOT NULL AND ({{ label | identifier }} > max({{ label | identifier }}) OVER (
            PARTITION BY {{ key | identifiers }}
            ORDER BY {{ times_known[label] }}, {{ label | identifier }} DESC NULLS LAST
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )) IS NOT FALSE AS {{ ("risen " ~ label) | identifier }},
        {%- endfor %}
        {%- endif %}
    FROM cleaned ANTI JOIN refused ON cleaned._record = refused.record
) AS events
WINDOW
    all_events AS (PARTITION BY {{ key | identifiers }}),
    in_order AS (
        PARTITION BY {{ key | identifiers }}
        ORDER BY {% if timed %}timestamp, {% elif spec.available_from and table == "items" %}{{ spec.available_from | identifier }}, {% endif %}source_file, source_line
    )
QUALIFY row_number() OVER in_order = 1;
{%- else %}
SELECT cleaned.* EXCLUDE (_record, rejection)
FROM cleaned ANTI JOIN refused ON cleaned._record = refused.record;
{%- endif %}

CREATE OR REPLACE TABLE {{ table }}_rejected AS
SELECT {{ table | literal }} AS source_table, file, line, "column", reason, content, coalesce(lines, 1) AS lines
FROM refused_rows LEFT JOIN contents USING (file, line)
ORDER BY file, line;

COMMIT;
SET preserve_insertion_order = true;
