-- Trigger functions of the tables that setup() makes. They are C functions and resolve no name.

CREATE FUNCTION activity._changed() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'activity_changed';
COMMENT ON FUNCTION activity._changed() IS 'Tells every session that a table it keeps something of has changed.';

CREATE FUNCTION activity._append_only() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'activity_append_only';
COMMENT ON FUNCTION activity._append_only() IS 'Refuses UPDATE, DELETE and TRUNCATE of events.';
