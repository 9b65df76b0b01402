-- items.csv: post_id,text,community,media,author_followers (text may be missing)
SELECT
    TRY_CAST(post_id AS INTEGER) AS item_id,
    community,
    media,
    TRY_CAST(author_followers AS BIGINT) AS author_followers,
    ln(1 + TRY_CAST(author_followers AS BIGINT)) AS log_followers,
    text,
    source_file,
    source_line,
    CASE
        WHEN TRY_CAST(post_id AS INTEGER) IS NULL THEN reject('post_id', 'not a whole number')
        WHEN community IS NULL THEN reject('community', 'missing')
        WHEN media IS NULL OR media NOT IN ('text', 'photo', 'video') THEN reject('media', 'unknown medium')
        WHEN TRY_CAST(author_followers AS BIGINT) IS NULL THEN reject('author_followers', 'not a whole number')
        WHEN TRY_CAST(author_followers AS BIGINT) < 0 THEN reject('author_followers', 'below 0')
    END AS rejection
FROM raw_items
