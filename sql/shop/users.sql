-- users.csv: user_id,age,gender (age and gender may be missing)
SELECT
    whole_number(user_id) AS user_id,
    whole_number(age, 1, 120) AS age,
    (whole_number(age, 1, 120) // 10)::VARCHAR AS age_band,
    gender,
    source_file,
    source_line,
    coalesce(
        unless_whole_number(user_id),
        unless_whole_number(age, 1, 120, optional := true),
        unless_one_of(gender, ['F', 'M'], optional := true)
    ) AS rejection
FROM raw_users
