-- Features that alone tell the two classes of a task apart with a ROC-AUC of {{ threshold }} or more, either way round, on about
-- {{ rows }} rows. Numbers are ordered by themselves, categories by their share of positives in one half of the rows, and
-- judged in the other, else a category of a single row would always be right. Missing values are a group of
-- their own, which lies below or above all others.
WITH seen AS (
    SELECT
        example_id, {{ tasks | listed }}
        {%- for feature in numeric %}
        {{ feature | identifier }}::DOUBLE AS {{ feature | identifier }},
        {%- endfor %}
        {%- for feature in categorical %}
        {{ feature | identifier }}::VARCHAR AS {{ feature | identifier }},
        {%- endfor %}
    FROM {{ examples }}
    WHERE hash(example_id) % (SELECT 1 + count(*) // {{ rows }} FROM {{ examples }}) = 0
),
{%- set counts %}
    {%- for task in tasks %}
    sum({{ task | identifier }}) AS {{ ("positives " ~ task) | identifier }},
    count({{ task | identifier }}) AS {{ ("observed " ~ task) | identifier }},
    {%- endfor %}
{%- endset %}
{%- if numeric %}
numbers AS (
    SELECT feature, value, {{ counts }}
    FROM seen UNPIVOT INCLUDE NULLS (value FOR feature IN ({{ numeric | identifiers }}))
    GROUP BY ALL
),
{%- endif %}
{%- if categorical %}
categories AS (
    SELECT feature, value, hash(example_id, 1) % 2 AS half, {{ counts }}
    FROM seen UNPIVOT INCLUDE NULLS (value FOR feature IN ({{ categorical | identifiers }}))
    GROUP BY ALL
),
{%- endif %}
scored AS (
    {%- for task in tasks %}
    {%- set positives, observed = ("positives " ~ task) | identifier, ("observed " ~ task) | identifier %}
    {%- if numeric %}
    SELECT {{ task | literal }} AS task, feature, value AS score, {{ positives }} AS positives, {{ observed }} - {{ positives }} AS negatives
    FROM numbers
    {{ "UNION ALL" if categorical }}
    {%- endif %}
    {%- if categorical %}
    SELECT
        {{ task | literal }} AS task, judged.feature, learned.{{ positives }} / nullif(learned.{{ observed }}, 0) AS score,
        judged.{{ positives }} AS positives, judged.{{ observed }} - judged.{{ positives }} AS negatives
    FROM (FROM categories WHERE half = 1) AS judged
    LEFT JOIN (FROM categories WHERE half = 0) AS learned
        ON judged.feature = learned.feature AND judged.value IS NOT DISTINCT FROM learned.value
    {%- endif %}
    {{ "UNION ALL" if not loop.last }}
    {%- endfor %}
)
SELECT task, feature, round(greatest(lowest, 1 - lowest, highest, 1 - highest), 3) AS roc_auc
FROM (
    SELECT
        task, feature,
        sum(positives * (below_missing_first + negatives / 2)) / (sum(positives) * sum(negatives)) AS lowest,
        sum(positives * (below_missing_last + negatives / 2)) / (sum(positives) * sum(negatives)) AS highest
    FROM (
        SELECT
            *,
            sum(negatives) OVER (PARTITION BY task, feature ORDER BY score NULLS FIRST) - negatives AS below_missing_first,
            sum(negatives) OVER (PARTITION BY task, feature ORDER BY score NULLS LAST) - negatives AS below_missing_last
        FROM (
            SELECT task, feature, score, sum(positives)::DOUBLE AS positives, sum(negatives)::DOUBLE AS negatives
            FROM scored WHERE positives IS NOT NULL
            GROUP BY ALL
        )
    )
    GROUP BY task, feature
    HAVING sum(positives) >= {{ least_of_a_class }} AND sum(negatives) >= {{ least_of_a_class }}
)
WHERE greatest(lowest, 1 - lowest, highest, 1 - highest) >= {{ threshold }}
ORDER BY roc_auc DESC
