-- items.csv: product_id,title,description,category,brand,price (title and description may be missing)
SELECT
    TRY_CAST(product_id AS INTEGER) AS item_id,
    title,
    category,
    brand,
    TRY_CAST(price AS DOUBLE) AS price,
    ln(TRY_CAST(price AS DOUBLE)) AS log_price,
    nullif(concat_ws('. ', title, description), '') AS text,
    source_file,
    source_line,
    CASE
        WHEN TRY_CAST(product_id AS INTEGER) IS NULL THEN reject('product_id', 'not a whole number')
        WHEN category IS NULL THEN reject('category', 'missing')
        WHEN brand IS NULL THEN reject('brand', 'missing')
        WHEN price IS NULL THEN reject('price', 'missing')
        WHEN TRY_CAST(price AS DOUBLE) IS NULL THEN reject('price', 'not a number')
        WHEN NOT TRY_CAST(price AS DOUBLE) > 0 THEN reject('price', 'not above 0')
    END AS rejection
FROM raw_items
