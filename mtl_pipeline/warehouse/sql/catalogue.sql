-- One row of figures about the recommendations (see catalogue.py). For novelty each item counts one
-- interaction more than it has.
WITH recommended AS (SELECT user_id, item_id, rank FROM {{ recommendations }}),
offered AS (
    SELECT
        item_id,
        coalesce(interactions, 0) + 1 AS interactions,
        coalesce(times, 0) AS times,
        row_number() OVER (ORDER BY coalesce(interactions, 0) DESC, item_id) AS popular
    FROM {{ items }}
    LEFT JOIN (SELECT item_id, count(*) AS interactions FROM interactions GROUP BY item_id) USING (item_id)
    LEFT JOIN (SELECT item_id, count(*) AS times FROM recommended GROUP BY item_id) USING (item_id)
),
of_items AS (
    SELECT
        count(*) AS items,
        count(*) FILTER (times > 0) AS covered,
        sum(times) AS rows,
        sum(times * bits) AS bits,
        sum((2 * place - items - 1) * times) AS apart
    FROM (
        SELECT
            *,
            -log2(interactions / sum(interactions) OVER ()) AS bits,
            row_number() OVER (ORDER BY times) AS place,
            count(*) OVER () AS items
        FROM offered
    )
),
-- Before a recommended item, in the order of popularity, stand those that the user may not be recommended too.
in_order AS (
    SELECT popular - count(DISTINCT excluded) AS place
    FROM recommended
    JOIN offered USING (item_id)
    LEFT JOIN (SELECT user_id, popular AS excluded FROM {{ excluded }} JOIN offered USING (item_id)) AS before
        ON recommended.user_id = before.user_id AND excluded < popular
    GROUP BY recommended.user_id, item_id, popular
),
trained AS (SELECT feature, value FROM {{ vocabulary }}),
shares AS (
    SELECT
        (SELECT max(users) / sum(users) FROM (SELECT count(*) AS users FROM recommended WHERE rank = 1 GROUP BY item_id)) AS same,
        (SELECT avg((place <= {{ per_user }})::INTEGER) FROM in_order) AS popular,
        {%- for id in ("item_id", "user_id") %}
        (
            SELECT avg((value IS NULL)::INTEGER)
            FROM (SELECT {{ "DISTINCT user_id" if id == "user_id" else "item_id" }} FROM recommended)
            LEFT JOIN (SELECT value FROM trained WHERE feature = '{{ id }}') ON value = {{ id }}::VARCHAR
        ) AS untrained_{{ id }},
        {%- endfor %}
)
SELECT
    items AS "items on offer",
    coalesce(covered / items, 0)::DOUBLE AS "catalogue coverage",
    coalesce(covered / nullif(least(items, rows), 0), 0)::DOUBLE AS "possible coverage",
    coalesce(bits / nullif(rows, 0), 0)::DOUBLE AS novelty,
    coalesce(apart / nullif(items * rows, 0), 0)::DOUBLE AS concentration,
    coalesce(same, 0)::DOUBLE AS "same first item",
    coalesce(popular, 0)::DOUBLE AS "popularity overlap",
    coalesce(untrained_item_id, 0)::DOUBLE AS "untrained items",
    coalesce(untrained_user_id, 0)::DOUBLE AS "untrained users"
FROM of_items, shares;
