-- Rebuilds a table from the log alone, in SQL, so that the extension's own reading is not trusted.
CREATE SCHEMA replayed;

-- Begins a copy of a table as it stands. Each row carries its key as the log writes it.
CREATE FUNCTION replayed.start(original regclass, keys text[]) RETURNS boolean LANGUAGE plpgsql AS $start$
DECLARE
    v_name text := (SELECT relname FROM pg_class WHERE oid = original);
    v_columns text := (
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = original AND attnum > 0 AND NOT attisdropped);
    v_key text := CASE cardinality(keys)
        WHEN 0 THEN 'NULL::text'
        WHEN 1 THEN format($$format('%%s', r.%I)$$, keys[1])
        ELSE (SELECT format('jsonb_build_array(%s)::text', string_agg(format($$format('%%s', r.%I)$$, name), ', ' ORDER BY place))
              FROM unnest(keys) WITH ORDINALITY AS of_key (name, place))
    END;
    v_object text := CASE WHEN cardinality(keys) > 1 THEN 'object_id::jsonb::text' ELSE 'object_id' END;
    v_is_row text := CASE cardinality(keys)
        WHEN 0 THEN $$(to_jsonb(c) - '_key') = e.old_row$$
        ELSE 'c._key = e.object_key'
    END;
BEGIN
    EXECUTE format('CREATE TABLE replayed.%I (LIKE %s)', v_name, original);
    EXECUTE format('ALTER TABLE replayed.%I ADD _key text', v_name);
    EXECUTE format('INSERT INTO replayed.%I (%s, _key) SELECT %2$s, %s FROM %s AS r', v_name, v_columns, v_key, original);
    EXECUTE format('CREATE INDEX ON replayed.%I (_key)', v_name);
    EXECUTE format($body$
        CREATE FUNCTION replayed.%I(type_of_object text) RETURNS SETOF text LANGUAGE plpgsql AS $apply$
        #variable_conflict use_column
        DECLARE
            e record;
            v_place tid;
            v_before jsonb;
        BEGIN
            FOR e IN
                SELECT event_id, regexp_replace(action, '^.*\.', '') AS verb, %5$s AS object_key,
                       changes -> 'old' AS old_row, changes -> 'new' AS new_row
                FROM activity.events
                WHERE source = 'capture' AND object_type = type_of_object
                  AND action ~ '\.(created|updated|deleted|truncated)$'
                ORDER BY event_id
            LOOP
                IF e.verb = 'created' THEN
                    INSERT INTO replayed.%1$I (%2$s, _key)
                    SELECT %2$s, %3$s FROM jsonb_populate_record(NULL::replayed.%1$I, e.new_row) AS r;
                ELSIF e.verb = 'truncated' THEN
                    DELETE FROM replayed.%1$I;
                ELSE
                    SELECT c.ctid, to_jsonb(c) - '_key' INTO v_place, v_before
                    FROM replayed.%1$I AS c WHERE %6$s LIMIT 1;
                    IF NOT FOUND THEN
                        RETURN NEXT format('%%s %%s: there is no such row', e.verb, e.object_key);
                    ELSIF e.verb = 'updated' THEN
                        IF (v_before || e.old_row)::text <> v_before::text THEN
                            RETURN NEXT format('updated %%s: %%s was not %%s', e.object_key, v_before, e.old_row);
                        END IF;
                        UPDATE replayed.%1$I AS c SET (%2$s, _key) = (
                            SELECT %2$s, %3$s FROM jsonb_populate_record(c, e.new_row) AS r)
                        WHERE c.ctid = v_place;
                    ELSE
                        IF v_before::text IS DISTINCT FROM e.old_row::text THEN
                            RETURN NEXT format('deleted %%s: %%s was not %%s', e.object_key, v_before, e.old_row);
                        END IF;
                        DELETE FROM replayed.%1$I AS c WHERE c.ctid = v_place;
                    END IF;
                END IF;
            END LOOP;
            RETURN QUERY SELECT 'only in the table: ' || rest.content FROM (
                SELECT ROW(%2$s)::text FROM %4$s EXCEPT ALL SELECT ROW(%2$s)::text FROM replayed.%1$I
            ) AS rest (content);
            RETURN QUERY SELECT 'only in the log: ' || rest.content FROM (
                SELECT ROW(%2$s)::text FROM replayed.%1$I EXCEPT ALL SELECT ROW(%2$s)::text FROM %4$s
            ) AS rest (content);
        END
        $apply$
        $body$, v_name, v_columns, v_key, original, v_object, v_is_row);
    RETURN true;
END
$start$;

-- Applies the log to the copy that was begun; what does not fit, and what differs in the end.
CREATE FUNCTION replayed.problems(original regclass, object_type text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT * FROM replayed.%I($1)', (SELECT relname FROM pg_class WHERE oid = original))
        USING object_type;
END
$$;
