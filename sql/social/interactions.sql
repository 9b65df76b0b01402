-- interactions.csv: user_id,post_id,timestamp (milliseconds since 1970, UTC),position,device,click,like,comment
-- Every row is an impression. A like is known only after a click, and so is a comment, which tablets do not report.
SELECT
    TRY_CAST(user_id AS INTEGER) AS user_id,
    TRY_CAST(post_id AS INTEGER) AS item_id,
    TRY(make_timestamp_ms(TRY_CAST(timestamp AS BIGINT))) AS timestamp,
    TRY_CAST(position AS INTEGER) AS position,
    device,
    extract(hour FROM TRY(make_timestamp_ms(TRY_CAST(timestamp AS BIGINT))))::VARCHAR AS hour,
    TRY_CAST(click AS INTEGER) AS click,
    TRY_CAST("like" AS INTEGER) AS "like",
    TRY_CAST(comment AS INTEGER) AS comment,
    source_file,
    source_line,
    CASE
        WHEN TRY_CAST(user_id AS INTEGER) IS NULL THEN reject('user_id', 'not a whole number')
        WHEN TRY_CAST(post_id AS INTEGER) IS NULL THEN reject('post_id', 'not a whole number')
        WHEN TRY_CAST(timestamp AS BIGINT) IS NULL THEN reject('timestamp', 'not a whole number')
        WHEN TRY_CAST(timestamp AS BIGINT) NOT BETWEEN 946684800000 AND 4102444800000
            THEN reject('timestamp', 'outside 2000 to 2100')
        WHEN position IS NOT NULL AND TRY_CAST(position AS INTEGER) IS NULL
            THEN reject('position', 'not a whole number')
        WHEN TRY_CAST(position AS INTEGER) NOT BETWEEN 1 AND 100 THEN reject('position', 'outside 1 to 100')
        WHEN device NOT IN ('phone', 'desktop', 'tablet') THEN reject('device', 'unknown device')
        WHEN click IS NULL THEN reject('click', 'missing')
        WHEN click NOT IN ('0', '1') THEN reject('click', 'neither 0 nor 1')
        WHEN "like" NOT IN ('0', '1') THEN reject('like', 'neither 0 nor 1')
        WHEN "like" IS NOT NULL AND click = '0' THEN reject('like', 'without a click')
        WHEN comment NOT IN ('0', '1') THEN reject('comment', 'neither 0 nor 1')
        WHEN comment IS NOT NULL AND click = '0' THEN reject('comment', 'without a click')
    END AS rejection
FROM raw_interactions
