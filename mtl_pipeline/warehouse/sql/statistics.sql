-- What the model may know of the values of features: from the training split only.

-- statistics: how to bring each numeric feature to mean 0 and standard deviation 1. Counts grow without bound,
-- so ln(1 + count) is taken first. Ten digits are enough, and the same on any number of threads. What lies outside
-- lower to upper, the range in training, is brought to its nearest end first; NULL: it is not.
CREATE OR REPLACE TEMP TABLE statistics (
    feature VARCHAR, transform VARCHAR, mean DOUBLE, standard_deviation DOUBLE, missing BIGINT, lower DOUBLE, upper DOUBLE
);
{%- for feature, transform in numeric %}
INSERT INTO statistics
SELECT
    {{ feature | literal }},
    {{ transform | literal }},
    printf('%.10g', coalesce(avg(value), 0))::DOUBLE,
    printf('%.10g', coalesce(nullif(stddev_pop(value), 0), 1))::DOUBLE,
    count(*) - count(value),
    {% if clip %}coalesce(min(value), 0), coalesce(max(value), 0){% else %}NULL, NULL{% endif %}
FROM (
    SELECT {% if transform == "log1p" %}ln(1 + {{ feature | identifier }}::DOUBLE){% else %}{{ feature | identifier }}::DOUBLE{% endif %} AS value
    FROM examples WHERE split = 'train'
);
{%- endfor %}

-- vocabulary: the values of each categorical feature and id, numbered from 1 by falling frequency.
-- 0 stands for missing values and for those not seen in training.
CREATE OR REPLACE TEMP TABLE vocabulary (feature VARCHAR, value VARCHAR, index INTEGER, frequency BIGINT);
{%- for feature, is_list in categorical %}
INSERT INTO vocabulary
SELECT {{ feature | literal }}, value::VARCHAR, row_number() OVER (ORDER BY count(*) DESC, value), count(*)
FROM (
    SELECT {% if is_list %}unnest({{ feature | identifier }}){% else %}{{ feature | identifier }}{% endif %} AS value
    FROM examples WHERE split = 'train'
)
WHERE value IS NOT NULL
GROUP BY value;
{%- endfor %}
