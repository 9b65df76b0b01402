-- Those of the columns of interactions that are nearly always the same for one item, and not for all. Items are sampled,
-- about as many as have {{ rows }} rows, rather than rows: an item seen once tells nothing.
{%- for column in columns %}
SELECT {{ column | literal }} AS "column", round((within - overall) / (1 - overall), 3) AS of_the_item
FROM (
    SELECT sum(most) / sum(rows) AS within, max(in_all) / any_value(every) AS overall
    FROM (
        SELECT item_id, max(rows) AS most, sum(rows) AS rows, max(in_all) AS in_all, any_value(every) AS every
        FROM (
            SELECT *, sum(rows) OVER (PARTITION BY value) AS in_all, sum(rows) OVER () AS every
            FROM (
                SELECT item_id, {{ column | identifier }}::VARCHAR AS value, count(*) AS rows
                FROM interactions
                WHERE value IS NOT NULL AND hash(item_id) % (SELECT 1 + count(*) // {{ rows }} FROM interactions) = 0
                GROUP BY ALL
            )
        )
        GROUP BY item_id
        HAVING sum(rows) > 1
    )
)
WHERE overall < 1 AND (within - overall) / (1 - overall) >= {{ threshold }}
{{ "UNION ALL" if not loop.last }}
{%- endfor %}
