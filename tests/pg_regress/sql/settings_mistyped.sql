-- A setting that does not exist is refused. Postgres 14 takes any name after a known prefix: what it
-- prints is in settings_mistyped_1.out.
SET activity.tennant_id = 'x';
SELECT set_config('activity.actor', 'x', false);

-- Either way the log knows nothing of it.
SELECT activity.context();
