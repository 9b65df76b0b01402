-- examples: each impression with its split, labels and features. The label of a task that is conditional
-- on another counts only where all that it is conditional on happened.
CREATE OR REPLACE TEMP TABLE ordered_examples AS
SELECT
    {{ keys | identifiers }},
    {%- if hash_by %}
    CASE
        WHEN "_share" >= {{ train + validation }} THEN 'test'
        WHEN "_share" >= {{ train }} THEN 'validation'
        ELSE 'train'
    END AS split,
    {%- else %}
    CASE
        WHEN timestamp >= test_start THEN 'test'
        WHEN timestamp >= validation_start THEN 'validation'
        ELSE 'train'
    END AS split,
    {%- endif %}
    {%- for task in tasks %}
    {%- set label = task.column | identifier %}
    {%- if task.kind == "multiclass" %}
    {%- set label = "nullif(list_position([" ~ task.classes | literals ~ "], " ~ label ~ "::VARCHAR), 0) - 1" %}
    {%- endif %}
    {%- if conditions[task.name] %}
    CASE WHEN {% for column in conditions[task.name] %}{{ column | identifier }} = 1{{ " AND " if not loop.last }}{% endfor %} THEN {{ label }} END
    {%- else %}
    {{ label }}
    {%- endif %}::DOUBLE AS {{ task.name | identifier }},
    {%- endfor %}
    {{ features | identifiers }}
FROM (
    {%- if hash_by %}
    SELECT *, (md5_number_lower(concat_ws('|', {{ seed | literal }}, {{ hash_by | identifiers }})) >> 11)
        / (1::UBIGINT << 53) AS "_share"
    FROM {{ source }}
    {%- else %}
    FROM {{ source }} CROSS JOIN split_boundaries
    {%- endif %}
    ORDER BY {{ order | identifiers }}
);

-- Numbering the rows in a window would take one thread; a table's rowid numbers them for nothing.
CREATE OR REPLACE TEMP VIEW examples AS
SELECT rowid AS example_id, * FROM ordered_examples;
