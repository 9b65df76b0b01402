{%- set known_since = "list_filter(" ~ steps[spec.root_task.column] ~ ", lambda _step: _step.value > 0)[1].since" if spec.root_task.column in steps else "timestamp" -%}
-- item_numbers: a number from 0 for every item.
CREATE OR REPLACE TEMP TABLE item_numbers AS
SELECT item_id, row_number() OVER (ORDER BY item_id) - 1 AS _item FROM {{ items }};

-- chosen_items: what each user chose, one user after another, oldest first, numbered from 0 by _place. A choice counts
-- from when it was known. mean_<label> is the user's mean so far, this choice included.
CREATE OR REPLACE TEMP TABLE chosen_items AS
SELECT
    row_number() OVER (ORDER BY user_id, {{ order }}) - 1 AS _place,
    user_id,
    _item,
    timestamp,
    {%- for label in labels %}
    {{ label | identifier }}::DOUBLE AS {{ label | identifier }},
    avg({{ label | identifier }}::DECIMAL(38, 9)) OVER (PARTITION BY user_id ORDER BY {{ order }} ROWS UNBOUNDED PRECEDING) AS {{ ("mean_" ~ label) | identifier }},
    {%- endfor %}
FROM (
    SELECT user_id, item_id, {{ known_since }} AS timestamp, {{ labels | listed }}
    FROM interactions
    WHERE {{ spec.root_task.column | identifier }} > 0
)
JOIN item_numbers USING (item_id)
WHERE timestamp < (SELECT _now FROM split_boundaries);

-- users_chosen: by user and time, where in chosen_items lies what the user had chosen until then.
CREATE OR REPLACE TEMP TABLE users_chosen AS
SELECT user_id, timestamp, min(min(_place)) OVER (PARTITION BY user_id) AS _first, max(_place) + 1 AS _end
FROM chosen_items
GROUP BY user_id, timestamp;

-- chosen: the same, as it is published: rows from chosen_from up to before chosen_to of it are what a user had chosen.
CREATE OR REPLACE TEMP VIEW chosen AS
SELECT item_id, timestamp, {{ labels | listed }}
FROM chosen_items JOIN item_numbers USING (_item)
ORDER BY _place;
