-- Trigger functions of captured tables. Their argument is the id of the capture. They are C
-- functions that resolve no name; what they write they write with the rights of the log.

CREATE FUNCTION activity._capture_row() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'activity_capture_row';
COMMENT ON FUNCTION activity._capture_row() IS 'Captures a row: AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW.';

CREATE FUNCTION activity._capture_statement() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'activity_capture_statement';
COMMENT ON FUNCTION activity._capture_statement() IS 'Captures the rows of a statement, from its transition tables.';

CREATE FUNCTION activity._capture_truncate() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'activity_capture_truncate';
COMMENT ON FUNCTION activity._capture_truncate() IS 'Captures a TRUNCATE: BEFORE TRUNCATE FOR EACH STATEMENT.';
