-- Included after a statement that must fail: names its SQLSTATE, or stops the demo.
\set ON_ERROR_STOP on
\if :ERROR
    \echo 'SQLSTATE:' :SQLSTATE
\else
    DO $$ BEGIN RAISE EXCEPTION 'the statement above should have been refused'; END $$;
\endif
