-- users_interactions.csv: one event of a person with an article. Whoever likes, bookmarks, comments or
-- follows has seen it; the events of a pair are merged into one interaction.
SELECT
    personId AS user_id,
    contentId AS item_id,
    moment(timestamp, 'seconds') AS timestamp,
    1 AS viewed,
    (eventType = 'LIKE')::INTEGER AS liked,
    (eventType = 'BOOKMARK')::INTEGER AS bookmarked,
    (eventType = 'COMMENT CREATED')::INTEGER AS commented,
    (eventType = 'FOLLOW')::INTEGER AS followed,
    userCountry AS country,
    source_file,
    source_line,
    coalesce(
        unless_moment(timestamp, 'seconds'),
        unless_one_of(eventType, ['VIEW', 'LIKE', 'BOOKMARK', 'COMMENT CREATED', 'FOLLOW'])
    ) AS rejection
FROM raw_interactions
