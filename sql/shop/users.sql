-- users.csv: user_id,age,gender (age and gender may be missing)
SELECT
    TRY_CAST(user_id AS INTEGER) AS user_id,
    TRY_CAST(age AS INTEGER) AS age,
    gender,
    source_file,
    source_line,
    CASE
        WHEN TRY_CAST(user_id AS INTEGER) IS NULL THEN reject('user_id', 'not a whole number')
        WHEN age IS NOT NULL AND TRY_CAST(age AS INTEGER) IS NULL THEN reject('age', 'not a whole number')
        WHEN TRY_CAST(age AS INTEGER) NOT BETWEEN 1 AND 120 THEN reject('age', 'outside 1 to 120')
        WHEN gender NOT IN ('F', 'M') THEN reject('gender', 'neither F nor M')
    END AS rejection
FROM raw_users
