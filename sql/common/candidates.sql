-- candidates: {{ users_at_once }} users from place {{ first }} on, each with every item that they may be
-- recommended, as of one second after the last interaction of all. What is known of a moment only is unknown.
CREATE OR REPLACE TEMP TABLE candidates AS
SELECT
    user_id,
    item_id,
    {% if timed %}(SELECT max(timestamp) + INTERVAL 1 SECOND FROM interactions){% else %}NULL::TIMESTAMP{% endif %} AS timestamp,
    {%- for column in context %}
    (SELECT {{ column | identifier }} FROM interactions LIMIT 0) AS {{ column | identifier }},
    {%- endfor %}
FROM (SELECT user_id FROM {{ users }} ORDER BY user_id LIMIT {{ users_at_once }} OFFSET {{ first }})
CROSS JOIN (
    SELECT item_id FROM {{ items }}
    {%- if available_from %}
    WHERE coalesce({{ available_from | identifier }}::TIMESTAMP, '-infinity')
        {% if newest_days %}BETWEEN (SELECT max(timestamp) - INTERVAL {{ newest_days }} DAY FROM interactions) AND{% else %}<={% endif %} (SELECT max(timestamp) FROM interactions)
    {%- endif %}
)
{%- if exclude == "shown" %}
ANTI JOIN interactions USING (user_id, item_id)
{%- elif exclude == "chosen" %}
ANTI JOIN (FROM interactions WHERE {{ root_label | identifier }} > 0) USING (user_id, item_id)
{%- endif %};
