-- items.csv: article_id,headline,summary,section,minutes,published (milliseconds since 1970, UTC);
-- headline and summary may be missing
SELECT
    TRY_CAST(article_id AS INTEGER) AS item_id,
    headline AS title,
    section,
    TRY_CAST(minutes AS INTEGER) AS minutes,
    TRY(make_timestamp_ms(TRY_CAST(published AS BIGINT))) AS published,
    nullif(concat_ws('. ', headline, summary), '') AS text,
    source_file,
    source_line,
    CASE
        WHEN TRY_CAST(article_id AS INTEGER) IS NULL THEN reject('article_id', 'not a whole number')
        WHEN section IS NULL THEN reject('section', 'missing')
        WHEN TRY_CAST(minutes AS INTEGER) IS NULL THEN reject('minutes', 'not a whole number')
        WHEN TRY_CAST(minutes AS INTEGER) <= 0 THEN reject('minutes', 'not above 0')
        WHEN TRY_CAST(published AS BIGINT) IS NULL THEN reject('published', 'not a whole number')
        WHEN TRY_CAST(published AS BIGINT) NOT BETWEEN 946684800000 AND 4102444800000
            THEN reject('published', 'outside 2000 to 2100')
    END AS rejection
FROM raw_items
