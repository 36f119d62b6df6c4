-- Runs before every session: the database that they find.
CREATE EXTENSION activity_log;
SELECT activity.setup() IS NOT NULL AS set_up;
