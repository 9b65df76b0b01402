-- Of each of candidate_items, in the order of places: how often it was chosen, and its rank among what was chosen most
-- within the last {{ days }} days, and among what is newest: last in the catalogue or, where that is not declared, last to be
-- met for the first time.
SELECT
    coalesce(_times, 0) AS chosen,
    row_number() OVER (ORDER BY coalesce(_lately, 0) DESC, coalesce(_times, 0) DESC, _place) AS popular,
    row_number() OVER (ORDER BY _since DESC NULLS LAST, _place) AS newest
FROM candidate_items
LEFT JOIN (
    SELECT
        item_id,
        count(*) FILTER ({{ chosen }}) AS _times,
        count(*) FILTER ({{ chosen }}{% if spec.timed %} AND timestamp >= getvariable('now') - INTERVAL {{ days }} DAY{% endif %}) AS _lately,
        {%- if not spec.available_from %}
        {% if spec.timed %}min(timestamp){% else %}NULL{% endif %} AS _since,
        {%- endif %}
    FROM interactions
    GROUP BY item_id
) USING (item_id)
{%- if spec.available_from %}
JOIN (SELECT item_id, {{ spec.available_from | identifier }}::TIMESTAMP AS _since FROM items) USING (item_id)
{%- endif %}
ORDER BY _place
