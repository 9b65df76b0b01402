-- shared_articles.csv (or articles.csv, its most read part): an article when it was shared or removed.
SELECT
    contentId AS item_id,
    moment(timestamp, 'seconds') AS shared_at,
    authorPersonId AS author,
    contentType AS content_type,
    lang,
    length(text) AS characters,
    title,
    text AS body,
    concat_ws('. ', title, text) AS text,
    source_file,
    source_line,
    coalesce(
        reject_if(eventType IS DISTINCT FROM 'CONTENT SHARED', 'eventType', 'not CONTENT SHARED'),
        unless_moment(timestamp, 'seconds'),
        unless_whole_number(contentId),
        reject_if(lang IS NULL OR length(lang) <> 2, 'lang', 'not a language of two letters')
    ) AS rejection
FROM raw_items
