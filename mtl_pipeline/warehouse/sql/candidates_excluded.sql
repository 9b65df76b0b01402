-- Of every $step-th user from place $first to before $end, numbered from 0, the places of items that they may not be
-- recommended.
SELECT DISTINCT (users._place - $first) // $step AS _user, items._place AS _item
FROM interactions
JOIN candidate_users AS users USING (user_id)
JOIN candidate_items AS items USING (item_id)
WHERE users._place >= $first AND users._place < $end AND users._place % $step = 0
{%- if spec.recommendations.exclude == "chosen" %}
AND interactions.{{ spec.root_task.column | identifier }} > 0
{%- elif spec.recommendations.exclude == "nothing" %}
AND false
{%- endif %}
