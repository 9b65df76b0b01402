-- shared_articles.csv (or articles.csv, its most read part): an article when it was shared or removed.
SELECT
    contentId AS item_id,
    make_timestamp(TRY_CAST(timestamp AS BIGINT) * 1000000) AS shared_at,
    authorPersonId AS author,
    contentType AS content_type,
    lang,
    length(text) AS characters,
    concat_ws('. ', title, text) AS text,
    source_file,
    source_line,
    CASE
        WHEN eventType IS DISTINCT FROM 'CONTENT SHARED' THEN reject('eventType', 'not CONTENT SHARED')
        WHEN TRY_CAST(timestamp AS BIGINT) IS NULL THEN reject('timestamp', 'not a whole number')
        WHEN TRY_CAST(contentId AS BIGINT) IS NULL THEN reject('contentId', 'not a whole number')
        WHEN lang IS NULL OR length(lang) <> 2 THEN reject('lang', 'not a language of two letters')
    END AS rejection
FROM raw_items
