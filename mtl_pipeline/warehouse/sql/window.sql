{%- if spec.features.sequence %}
-- chosen: as published.
CREATE OR REPLACE TEMP VIEW chosen AS FROM read_parquet({{ chosen | literal }});

{% endif -%}
-- examples: those of test window {{ window.number }}, each with its part in it. What was known at a row's time does not
-- depend on the split, so the features stay as they are
{%- if steps %}; labels are those that were known before the next part of the window starts{% endif %}.
{%- if spec.split.hash_by %}
-- Rows lie on a circle by the hash of {{ spec.split.hash_by | join(", ") }}, as in examples.sql. Fold {{ window.number }} of {{ window.windows }} is the test, the rows
-- before it are validation, and the rest trains. Rows with the same values share a place, so they stay together.
CREATE OR REPLACE TEMP VIEW examples AS
SELECT * EXCLUDE (_share) REPLACE (
    CASE
        WHEN least(floor(_share * {{ window.windows }}), {{ window.windows - 1 }}) = {{ window.number - 1 }} THEN 'test'
        WHEN (_share + {{ 1 - window.number / window.windows }}) % 1 >= {{ window.trained }} THEN 'validation'
        ELSE 'train'
    END AS split
)
FROM (
    SELECT *, (md5_number_lower(concat_ws('|', {{ spec.seed | literal }}, {{ spec.split.hash_by | identifiers }})) >> 11)
        / (1::UBIGINT << 53) AS _share
    FROM read_parquet({{ source | literal }})
);
{%- else %}
-- Rows of one moment stay together, and with them a positive and the negatives sampled for it.
CREATE OR REPLACE TEMP VIEW {{ "rows_of_window" if steps else "examples" }} AS
SELECT * REPLACE (
    CASE
        WHEN timestamp >= {{ window.test_start | literal }} THEN 'test'
        WHEN timestamp >= {{ window.validation_start | literal }} THEN 'validation'
        ELSE 'train'
    END AS split
)
FROM read_parquet({{ source | literal }})
WHERE true
    {%- if window.train_start %} AND timestamp >= {{ window.train_start | literal }}{% endif %}
    {%- if window.test_end %} AND timestamp < {{ window.test_end | literal }}{% endif %}
    {%- if steps and spec.negatives %}
    -- A positive that its own split did not know yet has no negatives, and without them it would count for too much.
    AND {{ spec.root_task.name | identifier }} IS NOT NULL
    {%- endif %};
{%- endif %}
{%- if steps and not spec.split.hash_by %}
{%- from "known_label.sql" import known_label with context %}

-- The labels of the last window's test are those of the examples.
CREATE OR REPLACE TEMP VIEW examples AS
SELECT * EXCLUDE (_deadline{% for task in spec.tasks %}, {{ steps_column(task.name) | identifier }}{% endfor %}) REPLACE (
    {%- for task in spec.tasks %}
    CASE WHEN _deadline IS NULL THEN {{ task.name | identifier }} ELSE {{ known_label(task.name, spec.chain(task)[:-1], "_deadline") }} END AS {{ task.name | identifier }}{{ "," if not loop.last }}
    {%- endfor %}
)
FROM (
    SELECT *, CASE split
        WHEN 'train' THEN {{ window.validation_start | literal }}::TIMESTAMP
        WHEN 'validation' THEN {{ window.test_start | literal }}::TIMESTAMP
        {%- if window.test_end %}
        ELSE {{ window.test_end | literal }}::TIMESTAMP
        {%- endif %}
    END AS _deadline
    FROM rows_of_window JOIN read_parquet({{ steps | literal }}) USING (example_id)
)
{%- if spec.negatives %}
WHERE _deadline IS NULL OR NOT sampled OR {{ known_label(spec.root_task.name, [], "_deadline") }} IS NOT NULL
{%- endif %}
ORDER BY example_id;
{%- endif %}
