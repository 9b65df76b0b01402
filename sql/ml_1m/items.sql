-- movies_extrainfos.dat: the movies with what a film database says of them, plots among it.
SELECT
    TRY_CAST(movie_id AS INTEGER) AS item_id,
    title,
    TRY_CAST(left(release_year, 4) AS INTEGER) AS release_year,
    string_split(nullif(genres, 'N/A'), ', ') AS genres,
    nullif(rated, 'N/A') AS rated,
    concat_ws('. ', title || ' (' || left(release_year, 4) || ')', nullif(genres, 'N/A'), nullif(plot, 'N/A')) AS text,
    source_file,
    source_line,
    CASE
        WHEN TRY_CAST(movie_id AS INTEGER) IS NULL THEN reject('movie_id', 'not a whole number')
        WHEN title IS NULL THEN reject('title', 'missing')
    END AS rejection
FROM raw_items
