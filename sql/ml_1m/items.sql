-- movies_extrainfos.dat: the movies with what a film database says of them, plots among it.
SELECT
    whole_number(movie_id) AS item_id,
    title,
    whole_number(left(release_year, 4)) AS release_year,
    string_split(nullif(genres, 'N/A'), ', ') AS genres,
    nullif(rated, 'N/A') AS rated,
    concat_ws('. ', title || ' (' || left(release_year, 4) || ')', nullif(genres, 'N/A'), nullif(plot, 'N/A')) AS text,
    source_file,
    source_line,
    coalesce(unless_whole_number(movie_id), unless_present(title)) AS rejection
FROM raw_items
