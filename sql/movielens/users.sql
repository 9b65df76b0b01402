-- users.csv: user_id,age,gender,occupation,zip_code
SELECT
    whole_number(user_id) AS user_id,
    whole_number(age, 1, 120) AS age,
    gender,
    occupation,
    upper(left(zip_code, 1)) AS zip_region,
    format(
        '{} year old {} {}',
        age, CASE gender WHEN 'F' THEN 'female' ELSE 'male' END, occupation
    ) AS text,
    source_file,
    source_line,
    coalesce(
        unless_whole_number(user_id),
        unless_whole_number(age, 1, 120),
        unless_one_of(gender, ['F', 'M']),
        unless_present(occupation)
    ) AS rejection
FROM raw_users
