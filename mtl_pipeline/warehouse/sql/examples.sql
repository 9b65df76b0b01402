-- examples: each impression with its split, labels and features. The label of a task that is conditional
-- on another counts only where all that it is conditional on happened.
{%- if steps %}
-- A split has of each label what was known before its `_deadline`: the start of the next split, or the end of the log.
{%- endif %}
{%- from "known_label.sql" import known_label with context %}
{%- macro number_of(task, label) %}
{%- if task.classes %}nullif(list_position([{{ task.classes | literals }}], {{ label }}::VARCHAR), 0) - 1{% else %}{{ label }}{% endif %}
{%- endmacro %}
CREATE OR REPLACE TEMP TABLE ordered_examples AS
SELECT
    {{ spec.ids | listed }} timestamp, {{ spec.key_columns | listed }} split,
    {%- if spec.negatives %}
    sampled,
    {%- endif %}
    {%- for task in spec.tasks %}
    {%- if steps %}
    {{ known_label(task.name, spec.chain(task)[:-1], "_deadline") }} AS {{ task.name | identifier }},
    {%- elif spec.chain(task)[:-1] %}
    CASE WHEN {% for step in spec.chain(task)[:-1] %}{{ step.column | identifier }} = 1{{ " AND " if not loop.last }}{% endfor %} THEN {{ number_of(task, task.column | identifier) }} END::DOUBLE AS {{ task.name | identifier }},
    {%- else %}
    ({{ number_of(task, task.column | identifier) }})::DOUBLE AS {{ task.name | identifier }},
    {%- endif %}
    {%- endfor %}
    {{ features | listed }}
    {%- if spec.features.sequence %}
    chosen_from, chosen_to,
    {%- endif %}
    {%- if steps %}
    {%- for task in spec.tasks %}
    {{ steps_column(task.name) | identifier }},
    {%- endfor %}
    {%- endif %}
FROM (
    SELECT
        {%- if steps %}
        * EXCLUDE ({% for label in steps %}{{ steps_column(label) | identifier }}{{ ", " if not loop.last }}{% endfor %}),
        {%- for task in spec.tasks %}
        {%- if task.column in steps %}
        list_transform({{ steps_column(task.column) | identifier }}, lambda _step: {'since': _step.since, 'value': ({{ number_of(task, "_step.value") }})::DOUBLE})
        {%- else %}
        [{'since': timestamp, 'value': ({{ number_of(task, task.column | identifier) }})::DOUBLE}]
        {%- endif %} AS {{ steps_column(task.name) | identifier }},
        {%- endfor %}
        {% if not spec.split.by_time %}_now{% else %}CASE split WHEN 'train' THEN _validation_start WHEN 'validation' THEN _test_start ELSE _now END{% endif %} AS _deadline,
        {%- else %}
        *,
        {%- endif %}
    FROM (
        {%- if not spec.split.by_time %}
        SELECT *, CASE
            {%- if spec.split.column %}
            {%- for part, values in spec.split.parts.items() if part != "train" %}
            WHEN _part IN ({{ values | literals }}) THEN {{ part | literal }}
            {%- endfor %}
            {%- if "validation" not in spec.split.parts %}
            WHEN "_share" >= {{ 1 - spec.split.validation }} THEN 'validation'
            {%- endif %}
            {%- else %}
            WHEN "_share" >= {{ spec.split.train + spec.split.validation }} THEN 'test'
            WHEN "_share" >= {{ spec.split.train }} THEN 'validation'
            {%- endif %}
            ELSE 'train'
        END AS split
        FROM (
            SELECT *, (md5_number_lower(concat_ws('|', {{ spec.seed | literal }}, {{ (spec.split.hash_by or spec.interaction_key) | identifiers }})) >> 11)
                / (1::UBIGINT << 53) AS "_share"
            FROM {{ source }}
        ){% if spec.timed %} CROSS JOIN split_boundaries{% endif %}
        {%- else %}
        SELECT *, CASE
            WHEN timestamp >= _test_start THEN 'test'
            WHEN timestamp >= _validation_start THEN 'validation'
            ELSE 'train'
        END AS split
        FROM {{ source }} CROSS JOIN split_boundaries
        {%- endif %}
    )
    ORDER BY {{ order | identifiers }}{% if steps and spec.negatives %}, {{ steps_column(spec.root_task.name) | identifier }}{% endif %}
)
{%- if steps and spec.negatives %}
-- The negatives of a positive that was not known yet were not known either.
WHERE NOT sampled OR {{ known_label(spec.root_task.name, [], "_deadline") }} IS NOT NULL
{%- endif %};

-- Numbering the rows with a window function would take one thread; a table's rowid numbers them for free.
CREATE OR REPLACE TEMP VIEW examples AS
SELECT
    rowid AS example_id,
    * {% if steps %}EXCLUDE ({% for task in spec.tasks %}{{ steps_column(task.name) | identifier }}{{ ", " if not loop.last }}{% endfor %}){% endif %}
FROM ordered_examples;
{%- if steps %}

-- label_steps: what other splits of the same rows need, namely those of a backtest.
CREATE OR REPLACE TEMP VIEW label_steps AS
SELECT
    rowid AS example_id,
    {%- for task in spec.tasks %}
    {{ steps_column(task.name) | identifier }},
    {%- endfor %}
FROM ordered_examples;

-- late_labels: by split and task, how many labels arrived after the deadline, and how many changed after it.
CREATE OR REPLACE TEMP TABLE late_labels AS
{%- for task in spec.tasks %}
SELECT
    split,
    {{ task.name | literal }} AS task,
    count(*) FILTER (WHERE known IS NULL) AS not_yet_known,
    count(*) FILTER (WHERE known <> in_the_end) AS changed_later
FROM (
    SELECT split, {{ task.name | identifier }} AS known, {{ known_label(task.name, spec.chain(task)[:-1], none) }} AS in_the_end
    FROM ordered_examples
)
WHERE in_the_end IS NOT NULL
GROUP BY split
HAVING not_yet_known + changed_later > 0
{{ "UNION ALL" if not loop.last }}
{%- endfor %};
{%- endif %}
