//! What the four roles are granted, function by function and table by table.

use super::*;

/// Every function with the letters of the roles that may execute it: writer, reader, auditor,
/// admin (m).
const FUNCTIONS: &[(&str, &str)] = &[
    ("_append_only", ""),
    ("_begin_maintenance", "m"),
    ("_capture_gaps", ""),
    ("_capture_row", "wram"),
    ("_capture_soundness", ""),
    ("_capture_statement", ""),
    ("_capture_triggers", ""),
    ("_capture_triggers_of", ""),
    ("_capture_truncate", ""),
    ("_captured_tables", ""),
    ("_changed", ""),
    ("_consumer_lag", "ram"),
    ("_earlier_trigger", ""),
    ("_end_maintenance", "m"),
    ("_has_reader_policy", ""),
    ("_is_home", ""),
    ("_key_state", ""),
    ("_level_in_effect", ""),
    ("_maintain_step", "m"),
    ("_maintenance_steps", "m"),
    ("_may_read", "am"),
    ("_missing_event_triggers", ""),
    ("_on_drop", ""),
    ("_on_schema_change", ""),
    ("_partitions", "am"),
    ("_reopened", ""),
    ("_retention_status", ""),
    ("_row_level_reason", ""),
    ("_wanted_level", ""),
    ("_wanted_triggers", ""),
    ("_worker_status", ""),
    ("ack", "ram"),
    ("archive_partition", "m"),
    ("archived_events", "m"),
    ("attach", "m"),
    ("channel", "ram"),
    ("check_event", "wm"),
    ("clear_context", "wram"),
    ("client_ip", "wram"),
    ("context", "wram"),
    ("coverage", "am"),
    ("create_consumer", "ram"),
    ("detach", "m"),
    ("drop_consumer", "ram"),
    ("drop_restored_archive", "m"),
    ("drop_rule", "m"),
    ("erase_actor", "m"),
    ("get", "ram"),
    ("helper_sql", "wm"),
    ("hold", "m"),
    ("install_taxonomy", "m"),
    ("list", "ram"),
    ("listen", "ram"),
    ("maintain", "m"),
    ("metrics", "am"),
    ("migrate", "m"),
    ("object_history", "ram"),
    ("on_change", "m"),
    ("pause", "m"),
    ("poll", "ram"),
    ("prometheus", "am"),
    ("read_stream", "ram"),
    ("record", "wm"),
    ("record_durable", "wm"),
    ("record_login", "wm"),
    ("record_logout", "wm"),
    ("record_many", "wm"),
    ("register_action", "m"),
    ("register_actions", "m"),
    ("release_hold", "m"),
    ("restore_archive", "m"),
    ("resume", "m"),
    ("retention_preview", "am"),
    ("retire_action", "m"),
    ("rotate_ip_key", "m"),
    ("row_as_of", "ram"),
    ("schedule_maintenance", "m"),
    ("set_context", "wram"),
    ("set_retention", "m"),
    ("setup", "m"),
    ("status", "am"),
    ("stream_start", "ram"),
    ("tenant", "wram"),
    ("unschedule_maintenance", "m"),
    ("verify_archive", "m"),
    ("visible_tenant", "r"),
];

const GRANTED_FUNCTIONS: &str = "
    SELECT p.proname::text, string_agg(r.letter, '' ORDER BY r.place)
    FROM pg_proc p
    LEFT JOIN (VALUES ('activity_writer', 'w', 1), ('activity_reader', 'r', 2),
                      ('activity_auditor', 'a', 3), ('activity_admin', 'm', 4)) r (role, letter, place)
      ON has_function_privilege(r.role, p.oid, 'EXECUTE')
    WHERE p.pronamespace = 'activity'::regnamespace
    GROUP BY p.oid ORDER BY p.proname";

#[test]
fn each_function_is_executable_by_whom_it_is_for() {
    let rows = database()
        .superuser()
        .query(GRANTED_FUNCTIONS, &[])
        .unwrap();
    let granted: Vec<(String, String)> = rows
        .iter()
        .map(|row| {
            (
                row.get(0),
                row.get::<_, Option<String>>(1).unwrap_or_default(),
            )
        })
        .collect();
    for (function, roles) in &granted {
        println!("{function:18} {roles}");
    }
    let expected: Vec<(String, String)> = FUNCTIONS
        .iter()
        .map(|(f, r)| ((*f).to_owned(), (*r).to_owned()))
        .collect();
    assert_eq!(granted, expected);
}

#[test]
fn everybody_may_only_have_a_partition_captured() {
    let mut session = database().superuser();
    let public = session.texts(
        "SELECT 'function ' || p.oid::regprocedure FROM pg_proc p,
                aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
         WHERE p.pronamespace = 'activity'::regnamespace AND a.grantee = 0
         UNION ALL
         SELECT 'relation ' || c.oid::regclass FROM pg_class c, aclexplode(c.relacl) a
         WHERE c.relnamespace = 'activity'::regnamespace AND a.grantee = 0
         UNION ALL
         SELECT 'schema ' || n.nspname FROM pg_namespace n, aclexplode(n.nspacl) a
         WHERE n.nspname = 'activity' AND a.grantee = 0",
    );
    assert_eq!(public, ["function activity._capture_row()"]);
}

#[test]
fn who_has_no_role_gets_nowhere() {
    let database = database();
    let mut nobody = database.connect_as(&database.create_login(&[]));
    for call in [
        record(TENANT_A),
        list(TENANT_A),
        "SELECT activity.context()".into(),
        "SELECT * FROM activity.status()".into(),
        "SELECT activity.set_context()".into(),
        "SELECT * FROM activity.events".into(),
        "SELECT * FROM activity.keys".into(),
    ] {
        expect_error(nobody.simple_query(&call), "42501");
    }
}

/// Tables with what the roles may do: r read, w write (insert, update, delete).
const TABLES: &[(&str, [&str; 4])] = &[
    ("action_versions", ["r", "r", "r", "r"]),
    ("actions", ["r", "r", "r", "r"]),
    ("capture_rules", ["", "", "r", "r"]),
    ("captures", ["", "", "r", "r"]),
    ("consumer_cursors", ["", "", "", ""]),
    ("consumers", ["", "r", "r", "r"]),
    ("events", ["", "r", "", ""]),
    ("idempotency_keys", ["", "", "", ""]),
    ("incarnations", ["", "", "r", "r"]),
    ("key_epochs", ["", "", "r", "r"]),
    ("keys", ["", "", "", ""]),
    ("legal_holds", ["", "", "r", "r"]),
    ("log", ["", "", "r", "r"]),
    ("maintenance_log", ["", "", "r", "r"]),
    ("partition_ranges", ["", "", "", ""]),
    ("partitions of events", ["", "", "", ""]),
    ("partitions", ["", "", "r", "r"]),
    ("restored_archives", ["", "", "r", "r"]),
    ("retention_policies", ["", "", "r", "r"]),
    ("role_tenants", ["", "", "r", "rw"]),
    ("tenants", ["", "", "r", "rw"]),
];

#[test]
fn each_table_is_open_to_whom_it_is_for() {
    let mut session = database().superuser();
    let mut seen = Vec::new();
    for &(table, expected) in TABLES {
        for (role, expected) in ROLES.iter().zip(expected) {
            let of_table = if table == "partitions of events" {
                "relispartition".to_owned()
            } else {
                seen.push(table);
                format!("relname = '{table}'")
            };
            let granted = session.text(&format!(
                "SELECT concat(
                     CASE WHEN bool_or(has_table_privilege('{role}', oid, 'SELECT')) THEN 'r' END,
                     CASE WHEN bool_or(has_table_privilege('{role}', oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES')) THEN 'w' END)
                 FROM pg_class WHERE relnamespace = 'activity'::regnamespace
                 AND relkind IN ('r', 'p', 'v') AND {of_table}"
            ));
            assert_eq!(granted.as_deref(), Some(expected), "{role} on {table}");
        }
    }
    seen.dedup();
    let all = session.texts(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'activity'::regnamespace \
         AND relkind IN ('r', 'p', 'v') AND NOT relispartition ORDER BY 1",
    );
    assert_eq!(all, seen, "a table is missing in this test");
}

#[test]
fn default_privileges_of_the_database_open_nothing() {
    let database = Cluster::shared().empty_database();
    let app = database.create_login(&[]);
    let mut owner = database.superuser();
    owner
        .batch_execute(&format!(
            "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {app};
             ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
             ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO {app};
             ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO {app};
             CREATE EXTENSION activity_log; SELECT activity.setup()"
        ))
        .unwrap();
    let open = owner.texts(&format!(
        "SELECT c.oid::regclass::text FROM pg_class c
         WHERE c.relnamespace = 'activity'::regnamespace AND c.relkind IN ('r', 'p')
           AND has_table_privilege('{app}', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
         UNION ALL
         SELECT p.oid::regprocedure::text FROM pg_proc p
         WHERE p.pronamespace = 'activity'::regnamespace AND has_function_privilege('{app}', p.oid, 'EXECUTE')"
    ));
    assert_eq!(open, ["activity._capture_row()"]);
}
