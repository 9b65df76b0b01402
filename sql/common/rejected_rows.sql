-- Every row that was refused, of all three raw files.
CREATE OR REPLACE TABLE rejected_rows AS
SELECT * FROM users_rejected
UNION ALL
SELECT * FROM items_rejected
UNION ALL
SELECT * FROM interactions_rejected
ORDER BY source_table, file, line;
