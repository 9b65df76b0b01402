-- One row: items on offer, and of the recommendations coverage, novelty and concentration
-- (see CatalogueSummary). Each item counts one interaction more than it has.
WITH offered AS (
    SELECT
        item_id,
        coalesce(interactions, 0) + 1 AS interactions,
        coalesce(times, 0) AS times
    FROM {{ items }}
    LEFT JOIN (SELECT item_id, count(*) AS interactions FROM interactions GROUP BY item_id) USING (item_id)
    LEFT JOIN (SELECT item_id, count(*) AS times FROM {{ recommendations }} GROUP BY item_id) USING (item_id)
),
placed AS (
    SELECT
        *,
        -log2(interactions / sum(interactions) OVER ()) AS bits,
        row_number() OVER (ORDER BY times) AS place,
        count(*) OVER () AS items
    FROM offered
)
SELECT
    count(*),
    coalesce(count(*) FILTER (times > 0) / count(*), 0)::DOUBLE,
    coalesce(sum(times * bits) / nullif(sum(times), 0), 0)::DOUBLE,
    coalesce(sum((2 * place - items - 1) * times) / nullif(any_value(items) * sum(times), 0), 0)::DOUBLE
FROM placed;
