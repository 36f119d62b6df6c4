//! The context behind a transaction pooler, a real PgBouncer.

use super::*;
use activity_log_integration::{as_server, give_to_server};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A PgBouncer with one server connection for all its clients.
struct Pooler {
    process: Child,
    folder: PathBuf,
}

impl Pooler {
    fn start(database: &Database<'_>, role: &str) -> Self {
        let cluster = database.cluster();
        let folder = cluster.folder().join(format!("pooler-{}", database.name()));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("users.txt"), format!("\"{role}\" \"\"\n")).unwrap();
        let settings = format!(
            "[databases]\n{name} = host={socket} user={role}\n[pgbouncer]\npool_mode = transaction\n\
             default_pool_size = 1\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = {folder}\n\
             auth_type = trust\nauth_file = {folder}/users.txt\n",
            name = database.name(),
            socket = cluster.folder().display(),
            folder = folder.display(),
        );
        std::fs::write(folder.join("pgbouncer.ini"), settings).unwrap();
        give_to_server(&folder);
        let mut command = as_server(pgbouncer());
        command.arg("-q").arg(folder.join("pgbouncer.ini"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        let pooler = Self { process, folder };
        pooler.wait();
        pooler
    }

    fn wait(&self) {
        let socket = self.folder.join(".s.PGSQL.6432");
        for _ in 0..500 {
            if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("pgbouncer does not answer at {}", socket.display());
    }

    fn connect(&self, database: &Database<'_>, role: &str) -> Session {
        let mut config = postgres::Config::new();
        config
            .host_path(&self.folder)
            .port(6432)
            .user(role)
            .dbname(database.name());
        Session::open(config)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pgbouncer() -> PathBuf {
    let debian = Path::new("/usr/sbin/pgbouncer");
    if debian.exists() {
        debian.to_owned()
    } else {
        PathBuf::from("pgbouncer")
    }
}

fn has_pgbouncer() -> bool {
    let found = Command::new(pgbouncer()).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: pgbouncer is not installed");
    }
    found
}

/// The first value of the last row that a simple query gives. A transaction pooler keeps no
/// prepared statements.
fn simple(session: &mut Session, query: &str) -> Option<String> {
    let messages = session.simple_query(query).unwrap();
    let value = messages.iter().rev().find_map(|message| match message {
        postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
        _ => None,
    });
    value.flatten()
}

#[test]
fn clients_of_a_transaction_pooler_do_not_see_each_others_context() {
    if !has_pgbouncer() {
        return;
    }
    let database = database();
    let role = database.create_login(&["activity_writer"]);
    let pooler = Pooler::start(&database, &role);
    let mut one = pooler.connect(&database, &role);
    let mut other = pooler.connect(&database, &role);
    let backend = "SELECT pg_backend_pid()";
    assert_eq!(
        simple(&mut one, backend),
        simple(&mut other, backend),
        "they share a connection"
    );

    let set = format!("BEGIN; SELECT activity.set_context('{TENANT_A}', 'u1')");
    one.batch_execute(&format!(
        "{set}; SELECT activity.record('user.created'); COMMIT"
    ))
    .unwrap();
    assert_eq!(simple(&mut other, CONTEXT).unwrap(), "{}");
    assert_eq!(simple(&mut one, CONTEXT).unwrap(), "{}");
    expect_error(
        other.simple_query("SELECT activity.record('user.created')"),
        "22004",
    );

    one.batch_execute(&format!("{set}; ROLLBACK")).unwrap();
    assert_eq!(simple(&mut other, CONTEXT).unwrap(), "{}");

    // A client that goes away in the middle of its transaction takes its context along.
    one.batch_execute(&set).unwrap();
    drop(one);
    assert_eq!(simple(&mut other, CONTEXT).unwrap(), "{}");
}

#[test]
fn concurrent_clients_of_a_transaction_pooler_record_for_their_own_tenant() {
    if !has_pgbouncer() {
        return;
    }
    const EACH: usize = 100;
    let database = database();
    let role = database.create_login(&["activity_writer"]);
    let pooler = Pooler::start(&database, &role);
    std::thread::scope(|scope| {
        for tenant in [TENANT_A, TENANT_B] {
            let mut session = pooler.connect(&database, &role);
            scope.spawn(move || {
                let set = format!("SELECT activity.set_context('{tenant}', '{tenant}')");
                for _ in 0..EACH {
                    session.batch_execute("BEGIN").unwrap();
                    session.batch_execute(&set).unwrap();
                    session
                        .batch_execute("SELECT activity.record('user.created')")
                        .unwrap();
                    session.batch_execute("COMMIT").unwrap();
                }
            });
        }
    });
    let mut owner = database.superuser();
    let own = format!(
        "SELECT count(*) FROM activity.events WHERE actor_id = tenant_id::text AND db_role = '{role}'"
    );
    assert_eq!(owner.number(&own), 2 * EACH as i64);
    let all = "SELECT count(*) FROM activity.events WHERE action = 'user.created'";
    assert_eq!(owner.number(all), 2 * EACH as i64);
}

#[test]
fn a_context_of_the_session_leaks_through_a_transaction_pooler_as_documented() {
    if !has_pgbouncer() {
        return;
    }
    let database = database();
    let role = database.create_login(&["activity_writer"]);
    let pooler = Pooler::start(&database, &role);
    let mut one = pooler.connect(&database, &role);
    let mut other = pooler.connect(&database, &role);
    let set = format!("SELECT activity.set_context('{TENANT_A}', is_local => false)");
    one.batch_execute(&set).unwrap();
    let seen = simple(&mut other, CONTEXT).unwrap();
    assert!(
        seen.contains(TENANT_A),
        "the reason why is_local is the default: {seen}"
    );
    other
        .batch_execute("SELECT activity.clear_context()")
        .unwrap();
    assert_eq!(simple(&mut one, CONTEXT).unwrap(), "{}");
}
