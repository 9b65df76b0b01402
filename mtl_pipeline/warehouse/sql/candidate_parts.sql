-- What the candidates of all users share, made once: the variable now, one second after the last event of all;
-- candidate_users, with their places from 0 in the order of ids; and candidate_items, which any of them may be recommended.
{%- if spec.timed %}
SET VARIABLE now = (SELECT max({{ end_of_log }}) + INTERVAL 1 SECOND FROM interactions);
{%- endif %}

CREATE OR REPLACE TEMP TABLE candidate_users AS
SELECT user_id, row_number() OVER (ORDER BY user_id) - 1 AS place FROM {{ users }};

CREATE OR REPLACE TEMP TABLE candidate_items AS
SELECT item_id FROM {{ items }};
