-- What all candidates share, made once: the variable now, one second after the last event of all; candidate_users and
-- candidate_items, which any of them may be recommended, with their features and places from 0 in the order of ids.
-- Features of the moment are unknown, or as recommendations.context assumes them. _kind_<n> is one number for all items
-- that have the same values in some columns.
{%- if spec.timed %}
SET VARIABLE now = (SELECT max({{ end_of_log }}) + INTERVAL 1 SECOND FROM interactions);
{%- endif %}

CREATE OR REPLACE TEMP TABLE candidate_users AS
SELECT
    row_number() OVER (ORDER BY user_id) - 1 AS _place,
    user_id,
    {%- for column, value in context.items() %}
    {{ value }} AS {{ column | identifier }},
    {%- endfor %}
    {{ features["users"] | listed }}
    {%- if sequence %}
    coalesce(_first, 0) AS _first, coalesce(_end, 0) AS _end
    {%- endif %}
FROM (SELECT user_id FROM {{ users }})
{{ joins["users"] }}
{%- if sequence %}
LEFT JOIN (SELECT user_id, max(_first) AS _first, max(_end) AS _end FROM users_chosen GROUP BY user_id) USING (user_id)
{%- endif %};

CREATE OR REPLACE TEMP TABLE candidate_items AS
SELECT
    row_number() OVER (ORDER BY item_id) - 1 AS _place,
    item_id,
    {{ features["items"] | listed }}
    {%- if sequence %}
    _item,
    {%- endif %}
    {%- for columns in kinds %}
    dense_rank() OVER (ORDER BY {{ columns | identifiers }}) - 1 AS _kind_{{ loop.index0 }},
    {%- endfor %}
FROM (SELECT item_id FROM {{ items }})
{{ joins["items"] }}
{%- if sequence %}
JOIN item_numbers USING (item_id)
{%- endif %};
