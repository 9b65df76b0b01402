-- ratings.dat: user_id::movie_id::rating::timestamp (seconds since 1970, UTC)
-- A rating proves that the movie was watched; a rating of 4 or 5 counts as liked.
SELECT
    whole_number(user_id) AS user_id,
    whole_number(movie_id) AS item_id,
    moment(timestamp, 'seconds') AS timestamp,
    1 AS watched,
    (whole_number(rating, 1, 5) >= 4)::INTEGER AS liked,
    whole_number(rating, 1, 5) AS rating,
    source_file,
    source_line,
    coalesce(
        unless_whole_number(user_id),
        unless_whole_number(movie_id),
        unless_whole_number(rating, 1, 5),
        unless_moment(timestamp, 'seconds')
    ) AS rejection
FROM raw_interactions
