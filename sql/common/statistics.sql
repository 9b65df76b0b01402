-- What the model may know of the values of features: from the training split only.

-- statistics: how to bring each numeric feature to mean 0 and deviation 1. Counts grow without bound
-- and are taken as ln(1 + count) first.
CREATE OR REPLACE TEMP TABLE statistics AS
{%- for feature, transform in numeric %}
SELECT
    {{ feature | literal }} AS feature,
    {{ transform | literal }} AS transform,
    coalesce(avg(value), 0) AS mean,
    coalesce(nullif(stddev_pop(value), 0), 1) AS standard_deviation,
    count(*) - count(value) AS missing
FROM (
    SELECT {% if transform == "log1p" %}ln(1 + {{ feature | identifier }}::DOUBLE){% else %}{{ feature | identifier }}::DOUBLE{% endif %} AS value
    FROM examples WHERE split = 'train'
)
{{ "UNION ALL" if not loop.last else ";" }}
{%- endfor %}

-- vocabulary: the values of each categorical feature and id, numbered from 1 by falling frequency.
-- 0 stands for missing and for values that training never showed.
CREATE OR REPLACE TEMP TABLE vocabulary AS
{%- for feature, is_list in categorical %}
SELECT
    {{ feature | literal }} AS feature,
    value::VARCHAR AS value,
    row_number() OVER (ORDER BY count(*) DESC, value)::INTEGER AS index,
    count(*) AS frequency
FROM (
    SELECT {% if is_list %}unnest({{ feature | identifier }}){% else %}{{ feature | identifier }}{% endif %} AS value
    FROM examples WHERE split = 'train'
)
WHERE value IS NOT NULL
GROUP BY value
{{ "UNION ALL" if not loop.last else ";" }}
{%- endfor %}
