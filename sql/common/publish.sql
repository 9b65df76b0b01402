-- The canonical table `{{ table }}` and its share of the rejected rows, both or neither.
BEGIN TRANSACTION;

CREATE OR REPLACE TABLE {{ table }} AS
SELECT cleaned.* EXCLUDE (_record, rejection)
FROM cleaned ANTI JOIN refused ON cleaned._record = refused.record;

CREATE OR REPLACE TABLE {{ table }}_rejected AS
SELECT {{ table | literal }} AS source_table, file, line, "column", reason, content
FROM refused_rows LEFT JOIN contents USING (file, line)
ORDER BY file, line;

COMMIT;
