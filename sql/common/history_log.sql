    -- What history counts: the interactions with their {{ keys | join(" and ") }}
    {%- if steps %}, a row for each step of {{ labels[0] }}, which counts until the next one{% endif %}.
    SELECT
        {{ keys | identifiers }},
        {%- if steps %}
        step.since AS timestamp, step.until AS until, step.value AS {{ labels[0] | identifier }}
    FROM (
        SELECT
            {{ keys | identifiers }},
            unnest(list_transform(steps, lambda step, place: {
                'since': step.since, 'value': step.value, 'until': steps[place + 1].since
            })) AS step
        FROM (SELECT *, {{ steps }} AS steps FROM interactions)
        {%- else %}
        timestamp, NULL::TIMESTAMP AS until, {{ labels | identifiers }}
    FROM interactions
        {%- endif %}
    {%- if user_keys %} JOIN (SELECT user_id, {{ user_keys | identifiers }} FROM users) USING (user_id){% endif %}
    {%- if item_keys %} JOIN (SELECT item_id, {{ item_keys | identifiers }} FROM items) USING (item_id){% endif %}
    {%- if steps %}){% endif %}
