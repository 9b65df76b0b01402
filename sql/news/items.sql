-- items.csv: article_id,headline,summary,section,minutes,published (milliseconds since 1970, UTC);
-- headline and summary may be missing
SELECT
    whole_number(article_id) AS item_id,
    headline AS title,
    summary,
    section,
    whole_number(minutes, 1) AS minutes,
    moment(published, 'milliseconds', 2000) AS published,
    nullif(concat_ws('. ', headline, summary), '') AS text,
    source_file,
    source_line,
    coalesce(
        unless_whole_number(article_id),
        unless_present(section),
        unless_whole_number(minutes, 1),
        unless_moment(published, 'milliseconds', 2000)
    ) AS rejection
FROM raw_items
