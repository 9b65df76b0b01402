-- The users from place $first to before $end, each with every item that they may be recommended, and what is known of
-- both now. What is known of a moment only is unknown, or as recommendations.context assumes it.
WITH some_users AS (SELECT user_id FROM candidate_users WHERE place >= $first AND place < $end),
candidates AS (
    SELECT
        user_id,
        item_id,
        {%- for column, value in context.items() %}
        {{ value }} AS {{ column | identifier }},
        {%- endfor %}
        {{ entity_features | listed }}
        {%- for group in history.plain_groups() %}
        {{ group.tallies | listed }}
        {%- endfor %}
    FROM some_users
    CROSS JOIN candidate_items
    {%- if exclude != "nothing" %}
    ANTI JOIN (
        SELECT user_id, item_id
        FROM interactions
        SEMI JOIN some_users USING (user_id)
        {%- if exclude == "chosen" %}
        WHERE {{ root_label | identifier }} > 0
        {%- endif %}
    ) USING (user_id, item_id)
    {%- endif %}
    {{ entity_joins }}
    {%- for group in history.plain_groups() %}
    LEFT JOIN {{ group.table }} {% if group.keys %}USING ({{ group.keys | identifiers }}){% else %}ON true{% endif %}
    {%- endfor %}
)
{%- for list, statistics in history.of_lists.items() %},
{{ ("_of_" ~ list) | identifier }} AS (
    SELECT
        user_id,
        item_id,
        {%- for feature, expression in statistics.items() %}
        avg(({{ expression }})::DECIMAL(38, 9)) AS {{ feature | identifier }},
        {%- endfor %}
    FROM (SELECT * REPLACE (unnest(list_distinct({{ list | identifier }})) AS {{ list | identifier }}) FROM candidates)
    {%- for group in history.list_groups(list) %}
    LEFT JOIN {{ group.table }} USING ({{ group.keys | identifiers }})
    {%- endfor %}
    GROUP BY user_id, item_id
)
{%- endfor %}
SELECT
    user_id,
    item_id,
    {{ context.keys() | listed }}
    {{ entity_features | listed }}
    {%- for feature in features %}
    {% if feature in history.expressions %}{{ history.expressions[feature] }}{% else %}{{ feature | identifier }}{% endif %} AS {{ feature | identifier }},
    {%- endfor %}
FROM candidates
{%- for list in history.of_lists %}
LEFT JOIN {{ ("_of_" ~ list) | identifier }} USING (user_id, item_id)
{%- endfor %}
ORDER BY user_id, item_id
