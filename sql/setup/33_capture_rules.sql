-- Transitions of captured rows that are events of their own: made by on_change().
CREATE TABLE activity.capture_rules (
    rule_id              uuid PRIMARY KEY,
    capture_id           uuid NOT NULL,
    action               text COLLATE "C" NOT NULL,
    operation            text NOT NULL CONSTRAINT capture_rules_operation_check CHECK (operation IN ('insert', 'update', 'delete')),
    -- SQL over the rows OLD and NEW: a boolean, and a jsonb object.
    when_condition       text NOT NULL,
    metadata_expression  text,
    -- The role with whose rights the expressions run.
    owner_role           text NOT NULL,
    -- The SQLSTATE with which the expressions were refused after a change of the table.
    problem              text,
    created_at           timestamptz NOT NULL DEFAULT pg_catalog.now(),
    created_by           text NOT NULL
);
COMMENT ON TABLE activity.capture_rules IS 'Semantic rules: which transition of a captured row is which event.';
CREATE INDEX capture_rules_capture_id_idx ON activity.capture_rules (capture_id);
