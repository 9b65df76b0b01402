-- users.csv: user_id,age,gender,occupation,zip_code
SELECT
    TRY_CAST(user_id AS INTEGER) AS user_id,
    TRY_CAST(age AS INTEGER) AS age,
    gender,
    occupation,
    upper(left(zip_code, 1)) AS zip_region,
    format(
        '{} year old {} {}',
        age, CASE gender WHEN 'F' THEN 'female' ELSE 'male' END, occupation
    ) AS text,
    source_file,
    source_line,
    CASE
        WHEN TRY_CAST(user_id AS INTEGER) IS NULL THEN reject('user_id', 'not a whole number')
        WHEN TRY_CAST(age AS INTEGER) IS NULL THEN reject('age', 'not a whole number')
        WHEN TRY_CAST(age AS INTEGER) NOT BETWEEN 1 AND 120 THEN reject('age', 'outside 1 to 120')
        WHEN gender IS NULL OR gender NOT IN ('F', 'M') THEN reject('gender', 'neither F nor M')
        WHEN occupation IS NULL THEN reject('occupation', 'missing')
    END AS rejection
FROM raw_users
