-- interactions.csv: user_id,article_id,timestamp (milliseconds since 1970, UTC),position,device,age_hours,click,share,comment
-- Every row is an impression. A share is known only after a click, and so is a comment, by day only.
SELECT
    whole_number(user_id) AS user_id,
    whole_number(article_id) AS item_id,
    moment(timestamp, 'milliseconds', 2000) AS timestamp,
    whole_number(position, 1, 100) AS position,
    device,
    whole_number(age_hours, 0) AS age_hours,
    extract(hour FROM moment(timestamp, 'milliseconds', 2000))::VARCHAR AS hour,
    flag(click) AS click,
    flag(share) AS share,
    flag(comment) AS comment,
    source_file,
    source_line,
    coalesce(
        unless_whole_number(user_id),
        unless_whole_number(article_id),
        unless_moment(timestamp, 'milliseconds', 2000),
        unless_whole_number(position, 1, 100, optional := true),
        unless_one_of(device, ['phone', 'desktop', 'tablet'], optional := true),
        unless_whole_number(age_hours, 0, optional := true),
        unless_flag(click),
        unless_flag(share, optional := true),
        reject_if(share IS NOT NULL AND flag(click) = 0, 'share', 'without a click'),
        unless_flag(comment, optional := true),
        reject_if(comment IS NOT NULL AND flag(click) = 0, 'comment', 'without a click')
    ) AS rejection
FROM raw_interactions
