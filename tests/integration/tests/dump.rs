//! Dump and restore: only this file sees the log arrive in another cluster, one that has neither
//! the roles nor the keys.

use activity_log_integration::{
    Cluster, Database, Options, Session, assert_same, expect_error, give_to_server,
};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

const TENANT_A: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const TENANT_B: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

/// The log that all dumps are made of.
fn source() -> &'static Database<'static> {
    static SOURCE: OnceLock<Database<'static>> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let database = Cluster::shared().database();
        let mut session = database.superuser();
        session.batch_execute(&filling()).unwrap();
        session.batch_execute("CALL activity.maintain()").unwrap();
        restore_an_archive(&mut session);
        database
    })
}

/// Something in every table: versions, a retired action, pins, keys of idempotency, rejected
/// secrets, texts that a dump has to quote, events of two tenants in two partitions.
fn filling() -> String {
    format!(
        r#"SELECT activity.setup(premake => 14);
        SELECT activity.register_action('user.created', 'A user came', '{{"type": "object"}}');
        SELECT activity.register_action('user.created', metadata_schema =>
            '{{"type": "object", "properties": {{"plan": {{"type": "string"}}}}}}');
        SELECT activity.register_action('user.deleted', controls => ARRAY['SOC2:CC6.1'], keep => '7 years');
        SELECT activity.register_action('user.left');
        SELECT activity.retire_action('user.left');
        SELECT activity.rotate_ip_key();
        INSERT INTO activity.tenants (tenant_id, external_id, name) VALUES ('{TENANT_A}', 'org_42', 'Ünïcode \ "quoted"');
        INSERT INTO activity.role_tenants VALUES ('somebody', '{TENANT_A}');
        SELECT activity.record('user.created', jsonb_build_object('plan', 'p' || i, 'note', E'a\tb\\c''d', 'password', 'hunter2'),
                               tenant_id => '{TENANT_A}', actor_id => 'u' || i % 3, actor_type => 'user',
                               object_type => 'user', object_id => 'o' || i, client_ip => '192.0.2.1',
                               user_agent => 'curl/8', request_id => 'r' || i, idempotency_key => 'k' || i,
                               occurred_at => now() - i * interval '1 hour')
        FROM generate_series(1, 20) i;
        SELECT activity.record('user.deleted', tenant_id => '{TENANT_B}', status => 'denied');
        SELECT activity.set_retention(keep => '1 year'), activity.set_retention('2 years', '{TENANT_B}');
        SELECT activity.hold('{TENANT_A}', 'a case');
         SELECT activity.create_consumer('feed', '{TENANT_B}', ARRAY['user.*']);
        CREATE TABLE public.item (id int PRIMARY KEY, note text, secret text);
        SELECT activity.attach('public.item', tenant_id => 'cccccccc-cccc-4ccc-8ccc-cccccccccccc', exclude => ARRAY['secret']);
        SELECT activity.on_change('public.item', 'user.deleted', 'OLD.note <> NEW.note');
        INSERT INTO public.item VALUES (1, 'a'); UPDATE public.item SET note = 'b';"#
    )
}

/// Archives the partition of this moment and brings it back as a table.
fn restore_an_archive(session: &mut Session) {
    let folder = Cluster::shared().folder().join("archive-to-dump");
    std::fs::create_dir(&folder).unwrap();
    give_to_server(&folder);
    session
        .batch_execute(&format!(
            "SELECT activity.restore_archive(activity.archive_partition(partition, '{}'))
             FROM activity.partitions WHERE state = 'live'",
            folder.display()
        ))
        .unwrap();
}

struct Dump {
    folder: tempfile::TempDir,
}

impl Dump {
    fn take(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dump = Self { folder };
        run(source()
            .program("pg_dump")
            .args(options)
            .arg("-f")
            .arg(dump.path()));
        dump
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("dump")
    }

    /// Restores into a fresh database of a fresh cluster, without an error.
    fn restore(&self, options: &[&str]) -> Cluster {
        let cluster = Cluster::start(&Options::default());
        cluster.create_database("restored", "");
        let database = cluster.existing_database("restored");
        if std::fs::read(self.path()).is_ok_and(|bytes| !bytes.starts_with(b"PGDMP")) {
            let psql = &mut database.program("psql");
            run(psql
                .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
                .arg(self.path()));
        } else {
            let restore = &mut database.program("pg_restore");
            run(restore
                .args(["--exit-on-error", "-d", "restored"])
                .args(options)
                .arg(self.path()));
        }
        cluster
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{errors}");
    assert_eq!(errors, "", "{command:?}");
}

fn restored(cluster: &Cluster) -> Database<'_> {
    cluster.existing_database("restored")
}

/// Every object, right and row came over, except the keys, which must not.
fn assert_came_back(cluster: &Cluster) {
    let (from, to) = (source(), restored(cluster));
    assert_same(&from.objects(), &to.objects());
    let (mut before, mut after) = (from.rows(), to.rows());
    assert!(!before.remove("keys").unwrap().is_empty());
    assert_eq!(
        after.remove("keys").unwrap(),
        [] as [String; 0],
        "a key travelled"
    );
    for (table, rows) in &before {
        assert!(!rows.is_empty(), "{table} is empty, so nothing is shown");
        assert_same(rows, &after[table]);
    }
    assert_eq!(before.len(), after.len());
    assert_in_use(&to);
}

/// The restored log records and lists at once.
fn assert_in_use(database: &Database<'_>) {
    let writer = database.create_login(&["activity_writer"]);
    let mut writing = database.connect_as(&writer);
    writing
        .batch_execute(&record(TENANT_B, "user.deleted"))
        .unwrap();
    let bad = format!(
        r#"SELECT activity.record('user.created', '{{"plan": 1}}', tenant_id => '{TENANT_B}')"#
    );
    expect_error(writing.simple_query(&bad), "23514");
    expect_error(
        writing.simple_query(&record(TENANT_B, "user.left")),
        "22023",
    );

    let reader = database.create_login(&["activity_reader"]);
    let mut reading = database.connect_as(&reader);
    reading
        .batch_execute(&format!("SET activity.tenant_id = '{TENANT_B}'"))
        .unwrap();
    assert_eq!(reading.number("SELECT count(*) FROM activity.list()"), 2);
    assert_eq!(reading.number("SELECT count(*) FROM activity.events"), 2);
    expect_error(
        database
            .superuser()
            .simple_query("TRUNCATE activity.events"),
        "42501",
    );
}

fn record(tenant: &str, action: &str) -> String {
    format!("SELECT activity.record('{action}', tenant_id => '{tenant}', client_ip => '192.0.2.1')")
}

#[test]
fn a_custom_dump_comes_back() {
    assert_came_back(&Dump::take(&["-Fc"]).restore(&[]));
}

#[test]
fn a_directory_dump_by_two_jobs_comes_back_by_two_jobs() {
    assert_came_back(&Dump::take(&["-Fd", "-j2"]).restore(&["-j2"]));
}

#[test]
fn a_plain_dump_comes_back() {
    assert_came_back(&Dump::take(&["-Fp"]).restore(&[]));
}

#[test]
fn a_dump_comes_back_without_owners() {
    assert_came_back(&Dump::take(&["-Fc"]).restore(&["--no-owner"]));
}

#[test]
fn a_plain_dump_of_inserts_comes_back_without_owners() {
    assert_came_back(&Dump::take(&["-Fp", "--no-owner", "--inserts"]).restore(&[]));
}

#[test]
fn a_dump_comes_back_in_one_transaction() {
    assert_came_back(&Dump::take(&["-Fc"]).restore(&["--single-transaction"]));
}

#[test]
fn no_dump_holds_a_key() {
    let dump = std::fs::read_to_string(Dump::take(&["-Fp"]).path()).unwrap();
    assert!(dump.contains("org_42"), "the dump has the data");
    let secrets = source()
        .superuser()
        .texts("SELECT encode(secret, 'hex') FROM activity.keys");
    assert_eq!(secrets.len(), 3, "one for fingerprints, two for addresses");
    for secret in secrets {
        assert!(
            !dump.to_lowercase().contains(&secret),
            "a secret is in the dump"
        );
    }
    assert!(!dump.contains("hunter2") && !dump.contains("192.0.2.1"));
}

#[test]
fn a_restored_copy_goes_on_without_keys_until_it_is_migrated() {
    let page = format!("FROM activity.list(tenant_id => '{TENANT_A}', page_size => 5) OFFSET 4");
    let cursor = source()
        .superuser()
        .text(&format!("SELECT cursor {page}"))
        .unwrap();
    let cluster = Dump::take(&["-Fc"]).restore(&[]);
    let database = restored(&cluster);
    let mut session = database.superuser();

    a_cursor_from_before_goes_on(&mut session, &cursor);
    assert_eq!(
        home(&mut session).unwrap(),
        "restored copy: SELECT activity.migrate() takes it over"
    );
    addresses_are_stored_by_network_only(&mut session);
    setup_leaves_it_alone(&database, &mut session);

    let said = session.text("SELECT activity.migrate()").unwrap();
    assert!(
        said.starts_with("taken over") && said.contains("key epoch 3 begins"),
        "{said}"
    );
    assert_eq!(home(&mut session), None);
    session
        .batch_execute(&record(TENANT_A, "user.deleted"))
        .unwrap();
    let newest = "SELECT encode(substring(ip_hash FROM 1 FOR 4), 'hex') FROM activity.events ORDER BY event_id DESC LIMIT 1";
    assert_eq!(
        session.text(newest).as_deref(),
        Some("00000003"),
        "the new epoch"
    );
    let found = format!(
        "SELECT count(*) FROM activity.list(tenant_id => '{TENANT_A}', client_ip => '192.0.2.1')"
    );
    assert_eq!(
        session.number(&found),
        1,
        "what was hashed with lost keys is not found by address"
    );
    a_cursor_from_before_goes_on(&mut session, &cursor);
    a_second_migration_changes_nothing(&database, &mut session);
}

/// The rest of the pages is what the source gives for the same cursor.
fn a_cursor_from_before_goes_on(session: &mut Session, cursor: &str) {
    let rest = format!(
        "SELECT event_id::text FROM activity.list(tenant_id => '{TENANT_A}', cursor => '{cursor}')"
    );
    let expected = source().superuser().texts(&rest);
    assert_eq!(expected.len(), 15);
    assert_eq!(session.texts(&rest), expected);
    let of_other = rest.replace(TENANT_A, TENANT_B);
    expect_error(session.simple_query(&of_other), "22023");
}

/// The advice of status() about the log's home, if it is not here.
fn home(session: &mut Session) -> Option<String> {
    session.text(
        "SELECT max(advice) FROM activity.status() WHERE area = 'log' AND item = 'home' AND NOT ok",
    )
}

fn addresses_are_stored_by_network_only(session: &mut Session) {
    session
        .batch_execute(&record(TENANT_A, "user.deleted"))
        .unwrap();
    let newest = "SELECT concat_ws(' ', ip_prefix, ip_hash IS NULL) FROM activity.events ORDER BY event_id DESC LIMIT 1";
    assert_eq!(session.text(newest).as_deref(), Some("192.0.2.0/24 t"));
    let advice = "SELECT advice FROM activity.status() WHERE item = 'key for addresses' AND NOT ok";
    assert!(session.text(advice).unwrap().contains("activity.migrate()"));
}

fn setup_leaves_it_alone(database: &Database<'_>, session: &mut Session) {
    let (objects, rows) = (database.objects(), database.rows());
    let said = session
        .text("SELECT activity.setup(premake => 20)")
        .unwrap();
    assert!(said.contains("activity.migrate()"), "{said}");
    assert_same(&objects, &database.objects());
    assert_eq!(database.rows(), rows);
}

fn a_second_migration_changes_nothing(database: &Database<'_>, session: &mut Session) {
    let (objects, rows) = (database.objects(), database.rows());
    assert_eq!(
        session.text("SELECT activity.migrate()").unwrap(),
        "nothing to migrate"
    );
    assert_same(&objects, &database.objects());
    assert_eq!(database.rows(), rows);
    assert_eq!(
        session.text("SELECT activity.setup()").unwrap(),
        "activity_log is already set up"
    );
}

#[test]
fn a_database_made_from_a_template_is_a_copy_too() {
    let database = Cluster::shared().database();
    database
        .superuser()
        .batch_execute("SELECT activity.register_action('user.deleted')")
        .unwrap();
    let name = format!("{}_copy", database.name());
    let create = format!("CREATE DATABASE {name} TEMPLATE {}", database.name());
    Cluster::shared()
        .existing_database("postgres")
        .superuser()
        .batch_execute(&create)
        .unwrap();
    let mut session = Cluster::shared().existing_database(&name).superuser();
    assert!(home(&mut session).is_some());
    session
        .batch_execute(&record(TENANT_A, "user.deleted"))
        .unwrap();
    let generation = "SELECT gen::bigint FROM activity.events ORDER BY event_id DESC LIMIT 1";
    let life = session.number(generation);
    assert_ne!(life, 1, "another life of the database");
    assert!(
        session
            .text("SELECT activity.migrate()")
            .unwrap()
            .starts_with("taken over")
    );
    session
        .batch_execute(&record(TENANT_A, "user.deleted"))
        .unwrap();
    assert_eq!(session.number(generation), life);
    assert_eq!(home(&mut session), None);
    assert_eq!(
        home(&mut database.superuser()),
        None,
        "the original stays at home"
    );
}
