-- items.csv: product_id,title,description,category,brand,price (title and description may be missing)
SELECT
    whole_number(product_id) AS item_id,
    title,
    description,
    category,
    brand,
    decimal_number(price, 0.01) AS price,
    ln(decimal_number(price, 0.01)) AS log_price,
    nullif(concat_ws('. ', title, description), '') AS text,
    source_file,
    source_line,
    coalesce(
        unless_whole_number(product_id),
        unless_present(category),
        unless_present(brand),
        unless_decimal_number(price, 0.01)
    ) AS rejection
FROM raw_items
