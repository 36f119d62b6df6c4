-- The database that the drivers meet: one application login, trusted with any tenant.
CREATE EXTENSION activity_log;
SELECT activity.setup();
SELECT activity.install_taxonomy('saas');
CREATE ROLE app LOGIN IN ROLE activity_writer, activity_reader;
