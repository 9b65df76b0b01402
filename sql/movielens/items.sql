-- movies.csv: movie_id,title,release_year,genres (separated by |)
SELECT
    TRY_CAST(movie_id AS INTEGER) AS item_id,
    title,
    TRY_CAST(release_year AS INTEGER) AS release_year,
    string_split(genres, '|') AS genres,
    concat_ws('. ', concat(title, ' (' || release_year || ')'), replace(genres, '|', ', ')) AS text,
    source_file,
    source_line,
    CASE
        WHEN TRY_CAST(movie_id AS INTEGER) IS NULL THEN reject('movie_id', 'not a whole number')
        WHEN title IS NULL THEN reject('title', 'missing')
        WHEN release_year IS NOT NULL AND TRY_CAST(release_year AS INTEGER) IS NULL
            THEN reject('release_year', 'not a whole number')
        WHEN TRY_CAST(release_year AS INTEGER) NOT BETWEEN 1880 AND 2100
            THEN reject('release_year', 'outside 1880 to 2100')
    END AS rejection
FROM raw_items
