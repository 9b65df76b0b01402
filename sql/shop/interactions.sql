-- interactions.csv: user_id,product_id,timestamp (milliseconds since 1970, UTC),position,device,click,purchase,rating
-- Every row is an impression. A purchase is known only after a click, a rating only for some purchases.
SELECT
    TRY_CAST(user_id AS INTEGER) AS user_id,
    TRY_CAST(product_id AS INTEGER) AS item_id,
    TRY(make_timestamp_ms(TRY_CAST(timestamp AS BIGINT))) AS timestamp,
    TRY_CAST(position AS INTEGER) AS position,
    device,
    extract(hour FROM TRY(make_timestamp_ms(TRY_CAST(timestamp AS BIGINT))))::VARCHAR AS hour,
    TRY_CAST(click AS INTEGER) AS click,
    TRY_CAST(purchase AS INTEGER) AS purchase,
    TRY_CAST(rating AS INTEGER) AS rating,
    source_file,
    source_line,
    CASE
        WHEN TRY_CAST(user_id AS INTEGER) IS NULL THEN reject('user_id', 'not a whole number')
        WHEN TRY_CAST(product_id AS INTEGER) IS NULL THEN reject('product_id', 'not a whole number')
        WHEN TRY_CAST(timestamp AS BIGINT) IS NULL THEN reject('timestamp', 'not a whole number')
        WHEN TRY_CAST(timestamp AS BIGINT) NOT BETWEEN 946684800000 AND 4102444800000
            THEN reject('timestamp', 'outside 2000 to 2100')
        WHEN position IS NOT NULL AND TRY_CAST(position AS INTEGER) IS NULL
            THEN reject('position', 'not a whole number')
        WHEN TRY_CAST(position AS INTEGER) NOT BETWEEN 1 AND 100 THEN reject('position', 'outside 1 to 100')
        WHEN device NOT IN ('phone', 'desktop', 'tablet') THEN reject('device', 'unknown device')
        WHEN click IS NULL THEN reject('click', 'missing')
        WHEN click NOT IN ('0', '1') THEN reject('click', 'neither 0 nor 1')
        WHEN purchase NOT IN ('0', '1') THEN reject('purchase', 'neither 0 nor 1')
        WHEN purchase IS NOT NULL AND click = '0' THEN reject('purchase', 'without a click')
        WHEN rating IS NOT NULL AND TRY_CAST(rating AS INTEGER) IS NULL
            THEN reject('rating', 'not a whole number')
        WHEN TRY_CAST(rating AS INTEGER) NOT BETWEEN 1 AND 5 THEN reject('rating', 'outside 1 to 5')
        WHEN rating IS NOT NULL AND purchase IS DISTINCT FROM '1' THEN reject('rating', 'without a purchase')
    END AS rejection
FROM raw_interactions
