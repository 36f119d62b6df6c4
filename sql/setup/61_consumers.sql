-- The view over consumers. It calls a function of the extension, so it goes with the extension and
-- comes back with setup().
CREATE VIEW activity.consumers AS
    SELECT c.name, c.tenant_id, c.actions, c.role_name, c.created_at, c.acked_at,
           l.lag_events, l.lag_seconds, l.held_by, l.problem
    FROM activity.consumer_cursors c
    CROSS JOIN LATERAL activity._consumer_lag(c.name) l;
COMMENT ON VIEW activity.consumers IS 'Durable consumers that the current user may see: how many events each is behind (10000: that many or more) and how old the first of them is, in seconds; the process that holds it; what keeps it from going on.';
