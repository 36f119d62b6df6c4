-- Included after a statement that must fail: names its SQLSTATE, or stops the demo.
\if :ERROR
    \echo 'SQLSTATE:' :SQLSTATE
\else
    DO $$ BEGIN RAISE EXCEPTION 'the statement above should have been refused'; END $$;
\endif
