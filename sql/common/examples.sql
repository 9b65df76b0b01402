-- examples: each impression with its split and the features of its user and item.
CREATE OR REPLACE TEMP TABLE examples AS
SELECT
    row_number() OVER (ORDER BY timestamp, user_id, sampled, item_id) - 1 AS example_id,
    user_id,
    item_id,
    timestamp,
    CASE
        WHEN timestamp >= test_start THEN 'test'
        WHEN timestamp >= validation_start THEN 'validation'
        ELSE 'train'
    END AS split,
    {%- for task, label in tasks %}
    {{ label | identifier }}::DOUBLE AS {{ task | identifier }},
    {%- endfor %}
    {{ features | identifiers }}
FROM {{ source }}
CROSS JOIN split_boundaries
ORDER BY example_id;
