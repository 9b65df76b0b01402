-- interactions.csv: user_id,post_id,timestamp (milliseconds since 1970, UTC),position,device,click,like,comment
-- Every row is an impression. A like is known only after a click, and so is a comment, which tablets do not report.
SELECT
    whole_number(user_id) AS user_id,
    whole_number(post_id) AS item_id,
    moment(timestamp, 'milliseconds', 2000) AS timestamp,
    whole_number(position, 1, 100) AS position,
    device,
    extract(hour FROM moment(timestamp, 'milliseconds', 2000))::VARCHAR AS hour,
    flag(click) AS click,
    flag("like") AS "like",
    flag(comment) AS comment,
    source_file,
    source_line,
    coalesce(
        unless_whole_number(user_id),
        unless_whole_number(post_id),
        unless_moment(timestamp, 'milliseconds', 2000),
        unless_whole_number(position, 1, 100, optional := true),
        unless_one_of(device, ['phone', 'desktop', 'tablet'], optional := true),
        unless_flag(click),
        unless_flag("like", optional := true),
        reject_if("like" IS NOT NULL AND flag(click) = 0, 'like', 'without a click'),
        unless_flag(comment, optional := true),
        reject_if(comment IS NOT NULL AND flag(click) = 0, 'comment', 'without a click')
    ) AS rejection
FROM raw_interactions
