    -- What history counts: the interactions with their {{ keys | join(" and ") }}
    {%- if known_at != "timestamp" %}, each at the time at which its labels were known, {{ known_at }}{% endif %}.
    SELECT
        {{ keys | identifiers }},
        {% if known_at == "timestamp" %}timestamp{% else %}greatest(coalesce({{ known_at }}, timestamp), timestamp) AS timestamp{% endif %},
        {{ labels | identifiers }}
    FROM interactions
    {%- if user_keys %} JOIN (SELECT user_id, {{ user_keys | identifiers }} FROM users) USING (user_id){% endif %}
    {%- if item_keys %} JOIN (SELECT item_id, {{ item_keys | identifiers }} FROM items) USING (item_id){% endif %}
