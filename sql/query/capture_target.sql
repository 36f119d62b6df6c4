-- What $1 is to the user $2: schema, name, why it can't be captured (NULL if it can), and
-- whether the user has the rights of its owner.
SELECT n.nspname::text, c.relname::text,
       CASE
           WHEN n.nspname = 'activity' THEN 'log'
           WHEN n.nspname IN ('pg_catalog', 'information_schema', 'pg_toast') THEN 'catalog'
           WHEN c.relpersistence = 't' THEN 'temporary'
           WHEN c.relkind IN ('v', 'm') THEN 'view'
           WHEN c.relkind = 'f' THEN 'foreign'
           WHEN c.relkind NOT IN ('r', 'p') THEN 'other'
       END,
       pg_catalog.pg_has_role($2, c.relowner, 'USAGE')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1
