    -- What history counts: the labels of interactions with their {{ group.keys | join(" and ") }}. A label that may come or
    -- change later has a row for each of its steps, which counts until the next one. A list of keys counts for each value.
    {%- set columns = (group.keys | list) + group.numbers %}
    SELECT * {% if list %}REPLACE (unnest(list_distinct({{ list | identifier }})) AS {{ list | identifier }}){% endif %} FROM (
    {%- for label, steps in labels_with_steps.items() %}
    SELECT
        {{ columns | listed }} _step.since AS timestamp, _step.until AS until, _step.value AS {{ label | identifier }}
    FROM (
        SELECT
            {{ columns | listed }}
            unnest(list_transform(_steps, lambda _step, _place: {
                'since': _step.since, 'value': _step.value, 'until': _steps[_place + 1].since
            })) AS _step
        FROM (SELECT *, {{ steps }} AS _steps FROM interactions)
        {{ entities }}
    )
    {{ "UNION ALL BY NAME" if not loop.last or other_labels }}
    {%- endfor %}
    {%- if other_labels %}
    SELECT {{ columns | listed }} timestamp, NULL::TIMESTAMP AS until, {{ other_labels | identifiers }}
    FROM interactions
    {{ entities }}
    {%- endif %}
    )
