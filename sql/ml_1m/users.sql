-- users.dat: user_id::gender::age group::occupation code::zip code
SELECT
    whole_number(user_id) AS user_id,
    gender,
    CASE age
        WHEN '1' THEN 'under 18' WHEN '18' THEN '18 to 24' WHEN '25' THEN '25 to 34' WHEN '35' THEN '35 to 44'
        WHEN '45' THEN '45 to 49' WHEN '50' THEN '50 to 55' WHEN '56' THEN 'over 55'
    END AS age_group,
    occupation,
    left(zip_code, 1) AS zip_region,
    source_file,
    source_line,
    coalesce(
        unless_whole_number(user_id),
        unless_one_of(gender, ['F', 'M']),
        reject_if(age_group IS NULL, 'age', 'not an age group'),
        unless_present(occupation)
    ) AS rejection
FROM raw_users
