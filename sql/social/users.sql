-- users.csv: user_id,age,country,bio (age and bio may be missing)
SELECT
    TRY_CAST(user_id AS INTEGER) AS user_id,
    TRY_CAST(age AS INTEGER) AS age,
    country,
    bio AS text,
    source_file,
    source_line,
    CASE
        WHEN TRY_CAST(user_id AS INTEGER) IS NULL THEN reject('user_id', 'not a whole number')
        WHEN age IS NOT NULL AND TRY_CAST(age AS INTEGER) IS NULL THEN reject('age', 'not a whole number')
        WHEN TRY_CAST(age AS INTEGER) NOT BETWEEN 1 AND 120 THEN reject('age', 'outside 1 to 120')
        WHEN country NOT IN ('BR', 'DE', 'FR', 'IN', 'JP', 'NG', 'PL', 'US')
            THEN reject('country', 'unknown country')
    END AS rejection
FROM raw_users
