-- users.csv: user_id,age,region,subscriber,interests (sections, separated by |; age and interests may be missing)
SELECT
    TRY_CAST(user_id AS INTEGER) AS user_id,
    TRY_CAST(age AS INTEGER) AS age,
    region,
    CASE subscriber WHEN '1' THEN 'yes' WHEN '0' THEN 'no' END AS subscriber,
    string_split(interests, '|') AS interests,
    source_file,
    source_line,
    CASE
        WHEN TRY_CAST(user_id AS INTEGER) IS NULL THEN reject('user_id', 'not a whole number')
        WHEN age IS NOT NULL AND TRY_CAST(age AS INTEGER) IS NULL THEN reject('age', 'not a whole number')
        WHEN TRY_CAST(age AS INTEGER) NOT BETWEEN 1 AND 120 THEN reject('age', 'outside 1 to 120')
        WHEN region IS NULL THEN reject('region', 'missing')
        WHEN subscriber IS NULL OR subscriber NOT IN ('0', '1') THEN reject('subscriber', 'neither 0 nor 1')
    END AS rejection
FROM raw_users
