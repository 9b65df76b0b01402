-- The places of the users from $first to before $end, counted from $first, with those of items that they may not be
-- recommended.
SELECT DISTINCT users._place - $first AS _user, items._place AS _item
FROM interactions
JOIN candidate_users AS users USING (user_id)
JOIN candidate_items AS items USING (item_id)
WHERE users._place >= $first AND users._place < $end
{%- if spec.recommendations.exclude == "chosen" %}
AND interactions.{{ spec.root_task.column | identifier }} > 0
{%- elif spec.recommendations.exclude == "nothing" %}
AND false
{%- endif %}
