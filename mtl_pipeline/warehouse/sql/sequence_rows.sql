-- sequence_rows: for each row of {{ source }} its item, and where in chosen_items lies what its user had chosen strictly
-- earlier.
CREATE OR REPLACE TEMP TABLE sequence_rows AS
SELECT source.rowid AS _row, _item, epoch_us(source.timestamp) AS _time, coalesce(_first, 0) AS _first, coalesce(_end, 0) AS _end
FROM {{ source }} AS source
JOIN item_numbers USING (item_id)
ASOF LEFT JOIN users_chosen ON source.user_id = users_chosen.user_id AND source.timestamp > users_chosen.timestamp;
