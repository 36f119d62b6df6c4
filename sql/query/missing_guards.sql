-- How many triggers and policies of ours are missing or not as setup() makes them.
SELECT (
    SELECT count(*)
    FROM (SELECT 'activity.events'::regclass::oid AS relation
          UNION ALL SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = 'activity.events'::regclass) r
    JOIN pg_catalog.pg_class c ON c.oid = r.relation
    WHERE NOT c.relrowsecurity OR NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t
                      WHERE t.tgrelid = r.relation AND t.tgname = 'append_only' AND t.tgenabled = 'A')
) + CASE WHEN activity._has_reader_policy() THEN 0 ELSE 1 END
  + activity._capture_gaps()
