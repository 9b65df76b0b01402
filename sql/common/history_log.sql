    -- What history counts: the labels of interactions with their {{ keys | join(" and ") }}. A label that may come or change
    -- later has a row for each of its steps, which counts until the next one.
    {%- for label, steps in labels_with_steps.items() %}
    SELECT
        {{ keys | identifiers }}, step.since AS timestamp, step.until AS until, step.value AS {{ label | identifier }}
    FROM (
        SELECT
            {{ keys | identifiers }},
            unnest(list_transform(steps, lambda step, place: {
                'since': step.since, 'value': step.value, 'until': steps[place + 1].since
            })) AS step
        FROM (SELECT *, {{ steps }} AS steps FROM interactions)
        {{ entities }}
    )
    {{ "UNION ALL BY NAME" if not loop.last or other_labels }}
    {%- endfor %}
    {%- if other_labels %}
    SELECT {{ keys | identifiers }}, timestamp, NULL::TIMESTAMP AS until, {{ other_labels | identifiers }}
    FROM interactions
    {{ entities }}
    {%- endif %}
