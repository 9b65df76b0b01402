-- impressions: the rows to learn from, and split_boundaries: the times that divide them.
{%- if negatives %}
-- The log holds positives only, so each positive gets {{ negatives }} negatives: items that this user
-- meets in no interaction at any time{% if available_from %}, and that were there at the time of the positive{% endif %}, stamped with that time.
--
-- An unmet item is drawn by its rank among the user's unmet items, without listing them: the r-th
-- unmet item (from 0) lies at place r + m, where m is the number of met items whose place, less the
-- number of met items before it, is at most r. Items are placed by availability. The k-th negative is drawn from the k-th of
-- {{ negatives }} equal ranges of ranks, so no item repeats within one positive.
{%- endif %}

{% if not hash_by -%}
CREATE OR REPLACE TEMP TABLE split_boundaries AS
SELECT
    quantile_disc(timestamp, {{ train }}) AS validation_start,
    quantile_disc(timestamp, {{ train + validation }}) AS test_start
FROM interactions;
{%- endif %}

{% if negatives -%}
CREATE OR REPLACE TEMP TABLE item_places AS
SELECT
    item_id, available_from,
    row_number() OVER (ORDER BY available_from, md5({{ seed | literal }} || item_id::VARCHAR), item_id) - 1 AS place
FROM (
    SELECT
        item_id,
        {% if available_from %}coalesce({{ available_from | identifier }}::TIMESTAMP, '-infinity'){% else %}'-infinity'::TIMESTAMP{% endif %} AS available_from
    FROM {{ items }}
);

CREATE OR REPLACE TEMP TABLE met_items AS
SELECT user_id, place, row_number() OVER (PARTITION BY user_id ORDER BY place) AS met_so_far
FROM (SELECT DISTINCT user_id, item_id FROM interactions) JOIN item_places USING (item_id);

-- The items that are there at the time of a positive are those before the place `available`.
CREATE OR REPLACE TEMP TABLE positives AS
SELECT placed.*, placed.available - coalesce(met_items.met_so_far, 0) AS unmet
FROM (
    SELECT positive.*, counts.available
    FROM (FROM interactions WHERE {{ root_label | identifier }} > 0) AS positive
    ASOF JOIN (
        SELECT available_from, max(place) + 1 AS available FROM item_places GROUP BY available_from
    ) AS counts ON positive.timestamp >= counts.available_from
) AS placed
ASOF LEFT JOIN met_items ON placed.user_id = met_items.user_id AND placed.available > met_items.place;

CREATE OR REPLACE TEMP TABLE draws AS
SELECT user_id, timestamp, {{ context | listed }} floor((draw + fraction) * unmet / draws)::BIGINT AS rank
FROM (
    SELECT
        user_id, timestamp, {{ context | listed }} unmet, draw,
        least(unmet, {{ negatives }}) AS draws,
        (md5_number_lower(concat_ws('|', {{ seed | literal }}, user_id, item_id, timestamp, draw)) >> 11)
            / (1::UBIGINT << 53) AS fraction
    FROM positives
    CROSS JOIN range({{ negatives }}) AS numbers(draw)
    WHERE draw < unmet
);
{%- endif %}

CREATE OR REPLACE TEMP TABLE impressions AS
SELECT {{ ids | listed }} {% if timed %}timestamp{% else %}NULL::TIMESTAMP AS timestamp{% endif %}, {{ key_columns | listed }} {{ labels | listed }} {{ context | listed }} false AS sampled
FROM interactions
{%- if negatives %}
UNION ALL
SELECT
    user_id, item_places.item_id, timestamp,{% for column in key_columns %} NULL,{% endfor %}
    {%- for label in labels %} {{ "0" if label == root_label else "NULL" }},{% endfor %}
    {{ context | listed }} true
FROM (
    SELECT draws.* EXCLUDE (rank), draws.rank + coalesce(met_items.met_so_far, 0) AS place
    FROM draws
    ASOF LEFT JOIN (
        SELECT user_id, place - met_so_far + 1 AS unmet_before, max(met_so_far) AS met_so_far
        FROM met_items
        GROUP BY ALL
    ) AS met_items
        ON draws.user_id = met_items.user_id AND draws.rank >= met_items.unmet_before
) AS drawn
JOIN item_places USING (place)
{%- endif %};
