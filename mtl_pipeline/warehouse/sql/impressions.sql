-- impressions: the rows to learn from, and split_boundaries.
{%- set negatives = spec.negatives.per_positive if spec.negatives else 0 %}
{%- set steps_of_root = steps.get(spec.root_task.column) %}
{%- if negatives %}
-- The log holds positives only, so each positive gets {{ negatives }} negatives, stamped with its time: items that were there
-- at that time and that this user {{ {"never_met_before": "had not met by then", "same_moment": "did not meet at that very moment"}[spec.negatives.unmet] }}.
--
-- Nothing here may depend on what came later. So items are placed in the order in which they came, and draws are hashes
-- among the places that were there; those of met items are refused. Where too few are left after that, which happens
-- to users who have met most of the items, what remains is listed, and the first ones by a hash are taken.
{%- endif %}

{% if spec.timed -%}
{% include "split_boundaries.sql" %}
{%- endif %}

{% if negatives -%}
CREATE OR REPLACE TEMP TABLE item_places AS
SELECT
    item_id, available_from,
    row_number() OVER (ORDER BY available_from, md5({{ spec.seed | literal }} || item_id::VARCHAR), item_id) - 1 AS _place
FROM (
    {%- if "items" in spec.entities %}
    SELECT item_id, {% if spec.available_from %}coalesce({{ spec.available_from | identifier }}::TIMESTAMP, '-infinity'){% else %}'-infinity'::TIMESTAMP{% endif %} AS available_from
    FROM items
    {%- else %}
    SELECT item_id, min(timestamp) AS available_from FROM interactions GROUP BY item_id
    {%- endif %}
);

CREATE OR REPLACE TEMP TABLE met_items AS
SELECT user_id, _place, min(timestamp) AS timestamp
FROM interactions JOIN item_places USING (item_id)
GROUP BY user_id, _place{% if spec.negatives.unmet == "same_moment" %}, timestamp{% endif %};

-- The items that are there at the time of a positive are those before the place `_available`.
CREATE OR REPLACE TEMP TABLE positives AS
SELECT _chosen.*, counts._available
FROM (
    SELECT user_id, item_id, timestamp, {{ spec.context_features | listed }} {% if steps_of_root %}list_filter({{ steps_of_root }}, lambda _step: _step.value > 0)[1].since AS _known{% else %}timestamp AS _known{% endif %}
    FROM interactions
    WHERE {% if steps_of_root %}_known IS NOT NULL{% else %}{{ spec.root_task.column | identifier }} > 0{% endif %}
) AS _chosen
ASOF JOIN (
    SELECT available_from, max(_place) + 1 AS _available FROM item_places GROUP BY available_from
) AS counts ON _chosen.timestamp >= counts.available_from;

CREATE OR REPLACE TEMP TABLE negatives (_positive BIGINT, _place BIGINT);
{%- for first, attempts in [(0, negatives), (negatives, 8 * negatives), (none, none)] %}

-- {{ ["The first draws.", "Where some were met or equal, more draws.", "Where those were too few, what is left."][loop.index0] }}
INSERT INTO negatives
SELECT _positive, _place
FROM (
    SELECT _positive, _place, any_value(_wanted) AS _wanted, min(_attempt) AS _attempt
    FROM (
        SELECT
            lacking.*,
            {%- if attempts %}
            _attempt, floor(_available * ((md5_number_lower(concat_ws('|', {{ spec.seed | literal }}, user_id, item_id, timestamp, _attempt)) >> 11)
                / (1::UBIGINT << 53)))::BIGINT AS _place
            {%- else %}
            md5(concat_ws('|', {{ spec.seed | literal }}, user_id, item_id, timestamp, _place)) AS _attempt, _place
            {%- endif %}
        FROM (
            SELECT positives.rowid AS _positive, user_id, item_id, timestamp, _available, {{ negatives }} - coalesce(_found, 0) AS _wanted
            FROM positives
            LEFT JOIN (SELECT _positive, count(*) AS _found FROM negatives GROUP BY _positive) AS drawn
                ON positives.rowid = drawn._positive
            WHERE _wanted > 0
        ) AS lacking
        {%- if attempts %}
        CROSS JOIN range({{ first }}, {{ first + attempts }}) AS numbers(_attempt)
        {%- else %}
        JOIN (SELECT _place FROM item_places) AS item_places ON item_places._place < lacking._available
        {%- endif %}
    ) AS drawn
    ANTI JOIN met_items ON drawn.user_id = met_items.user_id AND drawn._place = met_items._place
        AND met_items.timestamp {{ "=" if spec.negatives.unmet == "same_moment" else "<=" }} drawn.timestamp
    {%- if not loop.first %}
    ANTI JOIN negatives ON drawn._positive = negatives._positive AND drawn._place = negatives._place
    {%- endif %}
    GROUP BY _positive, _place
)
{%- if not loop.first %}
QUALIFY row_number() OVER (PARTITION BY _positive ORDER BY _attempt) <= _wanted
{%- endif %};
{%- endfor %}
{%- endif %}

CREATE OR REPLACE TEMP TABLE impressions AS
SELECT
    {{ spec.ids | listed }} {% if spec.timed %}timestamp{% else %}NULL::TIMESTAMP AS timestamp{% endif %}, {{ spec.key_columns | listed }} {{ spec.labels | listed }} {{ spec.context_features | listed }} false AS sampled,
    {%- if spec.split.column %}
    {{ spec.split.column | identifier }}::VARCHAR AS _part,
    {%- endif %}
    {%- for label, sql in steps.items() %}
    {{ sql }} AS {{ steps_column(label) | identifier }},
    {%- endfor %}
FROM interactions
{%- if negatives %}
UNION ALL
SELECT
    user_id, item_places.item_id, timestamp,{% for column in spec.key_columns %} NULL,{% endfor %}
    {%- for label in spec.labels %} {{ "0" if label == spec.root_task.column else "NULL" }},{% endfor %}
    {{ spec.context_features | listed }} true,
    {%- for label in steps %}
    {% if label == spec.root_task.column %}[{'since': _known, 'value': 0}]{% else %}NULL{% endif %},
    {%- endfor %}
FROM negatives
JOIN positives ON positives.rowid = negatives._positive
JOIN item_places USING (_place)
{%- endif %};
