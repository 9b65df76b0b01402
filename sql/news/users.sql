-- users.csv: user_id,age,region,subscriber,interests (sections, separated by |; age and interests may be missing)
SELECT
    whole_number(user_id) AS user_id,
    whole_number(age, 1, 120) AS age,
    (whole_number(age, 1, 120) // 10)::VARCHAR AS age_band,
    region,
    CASE flag(subscriber) WHEN 1 THEN 'yes' WHEN 0 THEN 'no' END AS subscriber,
    string_split(interests, '|') AS interests,
    source_file,
    source_line,
    coalesce(
        unless_whole_number(user_id),
        unless_whole_number(age, 1, 120, optional := true),
        unless_present(region),
        unless_flag(subscriber)
    ) AS rejection
FROM raw_users
