-- movies.csv: movie_id,title,release_year,genres (separated by |)
SELECT
    whole_number(movie_id) AS item_id,
    title,
    whole_number(release_year, 1880, 2100) AS release_year,
    string_split(genres, '|') AS genres,
    concat_ws('. ', concat(title, ' (' || release_year || ')'), replace(genres, '|', ', ')) AS text,
    source_file,
    source_line,
    coalesce(
        unless_whole_number(movie_id),
        unless_present(title),
        unless_whole_number(release_year, 1880, 2100, optional := true)
    ) AS rejection
FROM raw_items
