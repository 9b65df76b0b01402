-- interactions.csv: user_id,product_id,timestamp (milliseconds since 1970, UTC),position,device,click,purchase,rating
-- Every row is an impression. A purchase is known only after a click, a rating only for some purchases.
SELECT
    whole_number(user_id) AS user_id,
    whole_number(product_id) AS item_id,
    moment(timestamp, 'milliseconds', 2000) AS timestamp,
    whole_number(position, 1, 100) AS position,
    device,
    extract(hour FROM moment(timestamp, 'milliseconds', 2000))::VARCHAR AS hour,
    flag(click) AS click,
    flag(purchase) AS purchase,
    whole_number(rating, 1, 5) AS rating,
    source_file,
    source_line,
    coalesce(
        unless_whole_number(user_id),
        unless_whole_number(product_id),
        unless_moment(timestamp, 'milliseconds', 2000),
        unless_whole_number(position, 1, 100, optional := true),
        unless_one_of(device, ['phone', 'desktop', 'tablet'], optional := true),
        unless_flag(click),
        unless_flag(purchase, optional := true),
        reject_if(purchase IS NOT NULL AND flag(click) = 0, 'purchase', 'without a click'),
        unless_whole_number(rating, 1, 5, optional := true),
        reject_if(rating IS NOT NULL AND flag(purchase) IS DISTINCT FROM 1, 'rating', 'without a purchase')
    ) AS rejection
FROM raw_interactions
