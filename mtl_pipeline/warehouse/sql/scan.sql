-- csv_records: the readable records of the CSV or JSON files of one table, as strings; blank ones are NULL.
-- Records that are not valid CSV go to csv_rejects while it is read. The reader does not report lines:
-- they follow from the order of the records, so using source_line here is an error.
CREATE OR REPLACE TEMP VIEW csv_records AS
SELECT
    {%- for column in dialect.columns %}
    {%- if padded %}
    {#- A space sorts before every other character of text; trim() is slow, and most values need none. #}
    CASE WHEN {{ column | identifier }} < '!' OR suffix({{ column | identifier }}, ' ')
        THEN nullif(trim({{ column | identifier }}), '') ELSE {{ column | identifier }} END AS
    {%- endif %} {{ column | identifier }},
    {%- endfor %}
    {% if file %}{{ file | literal }}
    {%- elif prefix_characters %}filename[{{ prefix_characters + 1 }}:]
    {%- else %}filename{% endif %} AS source_file,
    error({{ line_is_not_known | literal }})::BIGINT AS source_line
FROM {% if dialect.is_json %}(
    SELECT unnest(json_transform(line, {{ structure | literal }})){{ ", filename" if not file }} FROM {% endif %}read_csv(
    [{% for path in paths %}{{ path | literal }}, {% endfor %}],
    -- Pieces hold records only, and each is read by one thread: a piece split among threads is read wrongly.
    header = {{ dialect.has_header and not in_pieces }},
    {%- if in_pieces %}
    parallel = false,
    compression = 'none',
    new_line = '\n',
    {%- endif %}
    max_line_size = {{ [dialect.longest_bytes + 2, 2000000] | max }},
    auto_detect = false,
    delim = {{ dialect.delimiter | literal }},
    quote = {{ dialect.quote | literal }},
    escape = {{ dialect.quote | literal }},
    encoding = {{ ("utf-8" if in_pieces else dialect.encoding) | literal }},
    columns = { {%- if dialect.is_json %}'line': 'JSON'{% else %}{% for column in dialect.columns %}{{ column | literal }}: 'VARCHAR', {% endfor %}{% endif %} },
    {%- if not file %}
    filename = true,
    {%- endif %}
    store_rejects = true,
    rejects_scan = 'csv_scans',
    rejects_table = 'csv_rejects',
    rejects_limit = 0
){{ ")" if dialect.is_json }};
