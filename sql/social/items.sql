-- items.csv: post_id,text,community,media,author_followers (text may be missing)
SELECT
    whole_number(post_id) AS item_id,
    community,
    media,
    whole_number(author_followers, 0) AS author_followers,
    ln(1 + whole_number(author_followers, 0)) AS log_followers,
    text,
    source_file,
    source_line,
    coalesce(
        unless_whole_number(post_id),
        unless_present(community),
        unless_one_of(media, ['text', 'photo', 'video']),
        unless_whole_number(author_followers, 0)
    ) AS rejection
FROM raw_items
