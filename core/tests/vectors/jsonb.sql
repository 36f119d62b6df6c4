-- Makes jsonb.json: what the server prints for a document and the container it stores.
--
--   DOCUMENTS=documents.txt psql -XAtq -f jsonb.sql > jsonb.json
--
-- documents.txt holds one JSON text per line; the texts in jsonb.json will do. Needs superuser,
-- for pageinspect, and a little-endian server. PLAIN storage prevents compression; the varlena
-- header, of one byte or four, is cut off here.
\set documents `cat "$DOCUMENTS"`
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pageinspect;
CREATE TEMPORARY TABLE vectors (document jsonb);
ALTER TABLE vectors ALTER document SET STORAGE PLAIN;
INSERT INTO vectors SELECT line::jsonb FROM regexp_split_to_table(:'documents', '\n') AS line;

SELECT format('[%s]', string_agg(json_build_object(
           'text', vectors.document::text,
           'container', encode(substr(datum, 2 + 3 * (1 - get_byte(datum, 0) % 2)), 'hex'))::text, E',\n'
           ORDER BY vectors.ctid))
FROM vectors
CROSS JOIN LATERAL (SELECT vectors.ctid::text::point) AS tid (place)
CROSS JOIN LATERAL heap_page_item_attrs(
    get_raw_page('vectors', place[0]::int), 'vectors'::regclass) AS items
CROSS JOIN LATERAL (SELECT items.t_attrs[1]) AS attribute (datum)
WHERE items.lp = place[1]::int;
