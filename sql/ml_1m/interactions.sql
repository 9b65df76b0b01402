-- ratings.dat: user_id::movie_id::rating::timestamp (seconds since 1970, UTC)
-- A rating proves that the movie was watched; a rating of 4 or 5 counts as liked.
SELECT
    TRY_CAST(user_id AS INTEGER) AS user_id,
    TRY_CAST(movie_id AS INTEGER) AS item_id,
    make_timestamp(TRY_CAST(timestamp AS BIGINT) * 1000000) AS timestamp,
    1 AS watched,
    (TRY_CAST(rating AS INTEGER) >= 4)::INTEGER AS liked,
    TRY_CAST(rating AS INTEGER) AS rating,
    source_file,
    source_line,
    CASE
        WHEN TRY_CAST(user_id AS INTEGER) IS NULL THEN reject('user_id', 'not a whole number')
        WHEN TRY_CAST(movie_id AS INTEGER) IS NULL THEN reject('movie_id', 'not a whole number')
        WHEN TRY_CAST(rating AS INTEGER) IS NULL THEN reject('rating', 'not a whole number')
        WHEN TRY_CAST(rating AS INTEGER) NOT BETWEEN 1 AND 5 THEN reject('rating', 'outside 1 to 5')
        WHEN TRY_CAST(timestamp AS BIGINT) IS NULL THEN reject('timestamp', 'not a whole number')
    END AS rejection
FROM raw_interactions
