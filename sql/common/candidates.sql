-- candidates: {{ users }} users from place {{ first }} on, each with every item that none of their
-- interactions meets, as of one second after the last interaction of all.
CREATE OR REPLACE TEMP TABLE candidates AS
SELECT
    user_id,
    item_id,
    (SELECT max(timestamp) + INTERVAL 1 SECOND FROM interactions) AS timestamp
FROM (SELECT user_id FROM users ORDER BY user_id LIMIT {{ users }} OFFSET {{ first }})
CROSS JOIN (SELECT item_id FROM items)
ANTI JOIN interactions USING (user_id, item_id);
