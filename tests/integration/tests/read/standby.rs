//! Reading on a hot standby.

use super::{TENANT, all_pages, log, page, record_many};
use activity_log_integration::{Cluster, Options, expect_error};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn a_standby_reads_what_it_has_received_and_records_nothing() {
    let primary = Cluster::start(&Options::default());
    let database = log(&primary);
    let mut writer = database.superuser();
    let events: Vec<Value> = (0..60)
        .map(|n| json!({"tenant_id": TENANT, "action": "a.b", "client_ip": format!("203.0.113.{}", n % 2)}))
        .collect();
    record_many(&mut writer, &events);
    let standby = primary.start_standby();
    let replica = standby.existing_database(database.name());
    let late = record_many(
        &mut writer,
        &[json!({"tenant_id": TENANT, "action": "a.late"})],
    );
    let expected = all_pages(&mut writer, 7);

    let mut reader = replica.superuser();
    let started = Instant::now();
    while page(&mut reader, "").0.first() != late.first() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "the standby does not follow"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(all_pages(&mut reader, 7), expected);
    assert_eq!(
        page(&mut reader, ", client_ip => '203.0.113.1'").0.len(),
        30
    );
    assert_eq!(
        reader
            .query("SELECT * FROM activity.get($1)", &[&late[0]])
            .unwrap()
            .len(),
        1
    );
    // A cursor of the primary goes on here.
    let (_, cursor) = page(&mut writer, ", page_size => 10");
    let rest = page(
        &mut reader,
        &format!(", cursor => '{}', page_size => 100", cursor.unwrap()),
    )
    .0;
    assert_eq!(rest, expected[10..]);

    let login = database.create_login(&["activity_reader"]);
    let started = Instant::now();
    while reader.number(&format!(
        "SELECT count(*) FROM pg_roles WHERE rolname = '{login}'"
    )) == 0
    {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "the standby does not follow"
        );
    }
    let mut plain = replica.connect_as(&login);
    plain
        .batch_execute(&format!("BEGIN; SET LOCAL activity.tenant_id = '{TENANT}'"))
        .unwrap();
    assert_eq!(plain.number("SELECT count(*) FROM activity.events"), 61);
    plain.batch_execute("COMMIT").unwrap();

    let call = format!("SELECT activity.record('a.b', tenant_id => '{TENANT}')");
    expect_error(reader.batch_execute(&call), "25006");
    reader
        .batch_execute("SET activity.on_error = warn")
        .unwrap();
    reader.batch_execute(&call).unwrap();
    assert!(reader.texts("SELECT item FROM activity.status()").len() > 5);
}
