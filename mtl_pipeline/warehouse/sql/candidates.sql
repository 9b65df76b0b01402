-- The users from place $first to before $end, each with every item that they may be recommended, and what is known of
-- both now. Features of the moment are unknown, or as recommendations.context assumes them.
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
    {%- if spec.recommendations.exclude != "nothing" %}
    ANTI JOIN (
        SELECT user_id, item_id
        FROM interactions
        SEMI JOIN some_users USING (user_id)
        {%- if spec.recommendations.exclude == "chosen" %}
        WHERE {{ spec.root_task.column | identifier }} > 0
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
    {%- for feature in spec.features.history %}
    {{ history.expressions.get(feature.name) or (feature.name | identifier) }} AS {{ feature.name | identifier }},
    {%- endfor %}
    {%- if spec.features.sequence %}
    _item, epoch_us(getvariable('now')) AS _time, coalesce(_first, 0) AS _first, coalesce(_end, 0) AS _end
    {%- endif %}
FROM candidates
{%- if spec.features.sequence %}
JOIN item_numbers USING (item_id)
LEFT JOIN (SELECT user_id, max(_first) AS _first, max(_end) AS _end FROM users_chosen GROUP BY user_id) USING (user_id)
{%- endif %}
{%- for list in history.of_lists %}
LEFT JOIN {{ ("_of_" ~ list) | identifier }} USING (user_id, item_id)
{%- endfor %}
ORDER BY user_id, item_id
