-- users_interactions.csv: one event of a person with an article. Whoever likes, bookmarks, comments or
-- follows has seen it; the events of a pair are merged into one interaction.
SELECT
    personId AS user_id,
    contentId AS item_id,
    make_timestamp(TRY_CAST(timestamp AS BIGINT) * 1000000) AS timestamp,
    1 AS viewed,
    (eventType = 'LIKE')::INTEGER AS liked,
    (eventType = 'BOOKMARK')::INTEGER AS bookmarked,
    (eventType = 'COMMENT CREATED')::INTEGER AS commented,
    (eventType = 'FOLLOW')::INTEGER AS followed,
    userCountry AS country,
    source_file,
    source_line,
    CASE
        WHEN TRY_CAST(timestamp AS BIGINT) IS NULL THEN reject('timestamp', 'not a whole number')
        WHEN eventType IS NULL OR eventType NOT IN ('VIEW', 'LIKE', 'BOOKMARK', 'COMMENT CREATED', 'FOLLOW')
            THEN reject('eventType', 'not a known event')
    END AS rejection
FROM raw_interactions
