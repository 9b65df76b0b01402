-- The canonical table `{{ table }}` and its rejected rows, both or neither.
-- Nothing depends on the order of the rows, which carry file and line; keeping it would cost a fifth more time.
SET preserve_insertion_order = false;
BEGIN TRANSACTION;

CREATE OR REPLACE TABLE {{ table }} AS
{%- if spec.merges(table) %}
-- Rows of one key are events of one interaction, which gets the earliest time, the largest value of each label, and
-- everything else from the first event.
{%- if spec.timed %} "<label> over time" says since when the label has had which value: a split
-- must not know more of it than was known before the next split starts.
{%- endif %}
SELECT
    events.* EXCLUDE (
        _record, rejection{% if has_known_at %}, known_at{% endif %}
        {%- if spec.timed %}{% for label in spec.labels %}, {{ ("risen " ~ label) | identifier }}{% endfor %}{% endif %}
    ) REPLACE (
        {%- for label in spec.labels %}
        max({{ label | identifier }}) OVER all_events AS {{ label | identifier }}{{ "," if not loop.last }}
        {%- endfor %}
    ),
    {%- if spec.timed %}
    {%- for label in spec.labels %}
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
        {%- if spec.timed %}
        {%- for label in spec.labels %}
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
        ORDER BY {% if spec.timed %}timestamp, {% endif %}source_file, source_line
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
