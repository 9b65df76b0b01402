{%- set known_since = "list_filter(" ~ steps[spec.root_task.column] ~ ", lambda _step: _step.value > 0)[1].since" if spec.root_task.column in steps else "timestamp" -%}
-- item_numbers: a number from 0 for every item.
CREATE OR REPLACE TEMP TABLE item_numbers AS
SELECT item_id, row_number() OVER (ORDER BY item_id) - 1 AS _item FROM {{ items }};

-- chosen_items: what each user chose, one user after another, oldest first; a choice counts from when it was known.
CREATE OR REPLACE TEMP TABLE chosen_items AS
SELECT
    row_number() OVER (ORDER BY user_id, timestamp, _item) - 1 AS _place,
    user_id,
    _item,
    timestamp,
    {%- for label in spec.features.sequence.labels %}
    {{ label | identifier }}::DOUBLE AS {{ label | identifier }},
    {%- endfor %}
FROM (
    SELECT user_id, item_id, {{ known_since }} AS timestamp, {{ spec.features.sequence.labels | listed }}
    FROM interactions
    WHERE {{ spec.root_task.column | identifier }} > 0
)
JOIN item_numbers USING (item_id)
WHERE timestamp IS NOT NULL;

-- users_chosen: by user and time, where in chosen_items lies what the user had chosen until then.
CREATE OR REPLACE TEMP TABLE users_chosen AS
SELECT user_id, timestamp, min(min(_place)) OVER (PARTITION BY user_id) AS _first, max(_place) + 1 AS _end
FROM chosen_items
GROUP BY user_id, timestamp;
