-- users.csv: user_id,age,country,bio (age and bio may be missing)
SELECT
    whole_number(user_id) AS user_id,
    whole_number(age, 1, 120) AS age,
    (whole_number(age, 1, 120) // 10)::VARCHAR AS age_band,
    country,
    bio AS text,
    source_file,
    source_line,
    coalesce(
        unless_whole_number(user_id),
        unless_whole_number(age, 1, 120, optional := true),
        unless_one_of(country, ['BR', 'DE', 'FR', 'IN', 'JP', 'NG', 'PL', 'US'], optional := true)
    ) AS rejection
FROM raw_users
