-- Rights on the tables, granted line by line. Whatever default privileges of the database gave
-- away when the tables were made has been taken back before.

-- Row security decides which rows.
GRANT SELECT ON activity.events TO activity_reader;
-- The registry holds no tenant's data.
GRANT SELECT ON activity.actions, activity.action_versions TO activity_writer, activity_reader, activity_auditor, activity_admin;
GRANT SELECT ON activity.log, activity.incarnations, activity.key_epochs TO activity_auditor, activity_admin;
GRANT SELECT ON activity.restored_archives TO activity_auditor, activity_admin;
GRANT SELECT ON activity.tenants, activity.role_tenants TO activity_auditor;
GRANT SELECT, INSERT, UPDATE, DELETE ON activity.tenants, activity.role_tenants TO activity_admin;
-- Which tables are captured, and by which rules; changed through functions only.
GRANT SELECT ON activity.captures, activity.capture_rules TO activity_auditor, activity_admin;
-- Each reader sees its own consumers in it.
GRANT SELECT ON activity.consumers TO activity_reader, activity_auditor, activity_admin;
-- Retention: what is kept, held, and was done. Written by functions only.
GRANT SELECT ON activity.retention_policies, activity.legal_holds, activity.maintenance_log TO activity_auditor, activity_admin;
