-- interactions.csv: user_id,article_id,timestamp (milliseconds since 1970, UTC),position,device,age_hours,click,share,comment
-- Every row is an impression. A share is known only after a click, and so is a comment, by day only.
SELECT
    TRY_CAST(user_id AS INTEGER) AS user_id,
    TRY_CAST(article_id AS INTEGER) AS item_id,
    TRY(make_timestamp_ms(TRY_CAST(timestamp AS BIGINT))) AS timestamp,
    TRY_CAST(position AS INTEGER) AS position,
    device,
    TRY_CAST(age_hours AS INTEGER) AS age_hours,
    extract(hour FROM TRY(make_timestamp_ms(TRY_CAST(timestamp AS BIGINT))))::VARCHAR AS hour,
    TRY_CAST(click AS INTEGER) AS click,
    TRY_CAST(share AS INTEGER) AS share,
    TRY_CAST(comment AS INTEGER) AS comment,
    source_file,
    source_line,
    CASE
        WHEN TRY_CAST(user_id AS INTEGER) IS NULL THEN reject('user_id', 'not a whole number')
        WHEN TRY_CAST(article_id AS INTEGER) IS NULL THEN reject('article_id', 'not a whole number')
        WHEN TRY_CAST(timestamp AS BIGINT) IS NULL THEN reject('timestamp', 'not a whole number')
        WHEN TRY_CAST(timestamp AS BIGINT) NOT BETWEEN 946684800000 AND 4102444800000
            THEN reject('timestamp', 'outside 2000 to 2100')
        WHEN position IS NOT NULL AND TRY_CAST(position AS INTEGER) IS NULL
            THEN reject('position', 'not a whole number')
        WHEN TRY_CAST(position AS INTEGER) NOT BETWEEN 1 AND 100 THEN reject('position', 'outside 1 to 100')
        WHEN device NOT IN ('phone', 'desktop', 'tablet') THEN reject('device', 'unknown device')
        WHEN age_hours IS NOT NULL AND TRY_CAST(age_hours AS INTEGER) IS NULL
            THEN reject('age_hours', 'not a whole number')
        WHEN TRY_CAST(age_hours AS INTEGER) < 0 THEN reject('age_hours', 'below 0')
        WHEN click IS NULL THEN reject('click', 'missing')
        WHEN click NOT IN ('0', '1') THEN reject('click', 'neither 0 nor 1')
        WHEN share NOT IN ('0', '1') THEN reject('share', 'neither 0 nor 1')
        WHEN share IS NOT NULL AND click = '0' THEN reject('share', 'without a click')
        WHEN comment NOT IN ('0', '1') THEN reject('comment', 'neither 0 nor 1')
        WHEN comment IS NOT NULL AND click = '0' THEN reject('comment', 'without a click')
    END AS rejection
FROM raw_interactions
