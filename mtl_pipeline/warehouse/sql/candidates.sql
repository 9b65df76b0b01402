-- The users from place $first to before $end, each with every item that they may be recommended, and what is known of
-- both now. Features of the moment are unknown, or as recommendations.context assumes them.
WITH some_users AS (SELECT user_id FROM candidate_users WHERE place >= $first AND place < $end)
SELECT
    user_id,
    item_id,
    {%- for column, value in context.items() %}
    {{ value }} AS {{ column | identifier }},
    {%- endfor %}
    {{ entity_features | listed }}
    {%- for history in histories %}
    {%- for feature in history.features %}
    {% if feature.statistic == "count" %}coalesce({{ feature.name | identifier }}, 0) AS {% endif %}{{ feature.name | identifier }},
    {%- endfor %}
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
{%- for history in histories %}
LEFT JOIN {{ history.table }} USING ({{ history.keys | identifiers }})
{%- endfor %}
ORDER BY user_id, item_id
