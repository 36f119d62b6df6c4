//! What is delivered, to whom, and in which order.

use super::{OTHER_TENANT, TENANT, drain, log, now, of, page, record, record_for};
use activity_log_integration::{Cluster, Options, expect_error};
use uuid::Uuid;

#[test]
fn a_reader_gets_the_history_page_by_page_and_then_what_comes() {
    let database = log(Cluster::shared());
    let (mut reader, mut writer) = (database.superuser(), database.superuser());
    let mut ids: Vec<Uuid> = (0..7).map(|_| record(&mut writer)).collect();
    record_for(&mut writer, OTHER_TENANT, "a.b");
    for page_size in [1, 3, 7, 500] {
        let (found, cursor) = drain(&mut reader, "", &of(TENANT, page_size));
        assert_eq!(found, ids, "page size {page_size}");
        let again = page(&mut reader, &cursor, &of(TENANT, 500));
        assert!(again.ids.is_empty() && again.is_drained);
    }
    let (_, cursor) = drain(&mut reader, "", &of(TENANT, 500));
    ids = (0..3).map(|_| record(&mut writer)).collect();
    assert_eq!(drain(&mut reader, &cursor, &of(TENANT, 2)).0, ids);
}

#[test]
fn a_page_that_is_full_ends_with_an_event_and_the_next_one_may_be_empty() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    record(&mut session);
    record(&mut session);
    let first = page(&mut session, "", &of(TENANT, 2));
    assert_eq!((first.ids.len(), first.is_drained), (2, false));
    let second = page(&mut session, &first.cursor, &of(TENANT, 2));
    assert_eq!((second.ids.len(), second.is_drained), (0, true));
    let empty = page(&mut session, "", &of(OTHER_TENANT, 2));
    assert_eq!((empty.ids.len(), empty.is_drained), (0, true));
}

#[test]
fn every_row_s_cursor_goes_on_behind_it() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    session.batch_execute("BEGIN").unwrap();
    let ids: Vec<Uuid> = (0..6).map(|_| record(&mut session)).collect();
    session.batch_execute("COMMIT").unwrap();
    let rows = session
        .query(
            "SELECT event_id, next_cursor FROM activity.read_stream($1::text::uuid)",
            &[&TENANT],
        )
        .unwrap();
    assert_eq!(rows.len(), 7);
    for (at, row) in rows.iter().enumerate() {
        let (rest, _) = drain(&mut session, row.get(1), &of(TENANT, 2));
        assert_eq!(rest, ids[(at + 1).min(6)..], "behind row {at}");
    }
}

#[test]
fn a_late_commit_is_delivered_and_nobody_waits_for_it() {
    let database = log(Cluster::shared());
    let (mut reader, mut slow, mut quick) = (
        database.superuser(),
        database.superuser(),
        database.superuser(),
    );
    let start = now(&mut reader);
    slow.batch_execute("BEGIN").unwrap();
    let late = record(&mut slow);
    let early = record(&mut quick);
    let (found, cursor) = drain(&mut reader, &start, &of(TENANT, 500));
    assert_eq!(found, [early], "without waiting");
    let between = record(&mut quick);
    slow.batch_execute("COMMIT").unwrap();
    let (found, _) = drain(&mut reader, &cursor, &of(TENANT, 1));
    assert_eq!(found, [late, between], "in the order of transactions");
}

#[test]
fn what_is_rolled_back_never_comes_and_what_a_savepoint_keeps_does() {
    let database = log(Cluster::shared());
    let (mut reader, mut writer) = (database.superuser(), database.superuser());
    let start = now(&mut reader);
    writer.batch_execute("BEGIN").unwrap();
    let first = record(&mut writer);
    writer.batch_execute("SAVEPOINT a").unwrap();
    record(&mut writer);
    writer.batch_execute("ROLLBACK TO a; SAVEPOINT b").unwrap();
    let kept = record(&mut writer);
    writer.batch_execute("RELEASE b").unwrap();
    let (found, cursor) = drain(&mut reader, &start, &of(TENANT, 500));
    assert_eq!(found, [] as [Uuid; 0]);
    writer.batch_execute("COMMIT; BEGIN").unwrap();
    record(&mut writer);
    writer.batch_execute("ROLLBACK").unwrap();
    assert_eq!(
        drain(&mut reader, &cursor, &of(TENANT, 500)).0,
        [first, kept]
    );
}

#[test]
fn a_prepared_transaction_comes_when_it_is_committed() {
    let cluster = Cluster::start(&Options {
        preload: true,
        settings: &[("max_prepared_transactions", "5")],
    });
    let database = log(&cluster);
    let (mut reader, mut writer) = (database.superuser(), database.superuser());
    writer.batch_execute("BEGIN").unwrap();
    let prepared = record(&mut writer);
    writer
        .batch_execute("PREPARE TRANSACTION 'p'; BEGIN")
        .unwrap();
    record(&mut writer);
    writer.batch_execute("PREPARE TRANSACTION 'q'").unwrap();
    let other = record(&mut writer);
    let (found, cursor) = drain(&mut reader, "", &of(TENANT, 500));
    assert_eq!(found, [other]);
    for end in ["COMMIT PREPARED 'p'", "ROLLBACK PREPARED 'q'"] {
        writer.batch_execute(end).unwrap();
    }
    assert_eq!(drain(&mut reader, &cursor, &of(TENANT, 500)).0, [prepared]);
}

#[test]
fn a_big_transaction_is_paged_through_while_others_commit() {
    let database = log(Cluster::shared());
    let (mut reader, mut writer) = (database.superuser(), database.superuser());
    let mut big = Vec::new();
    writer.batch_execute("BEGIN").unwrap();
    big.extend((0..250).map(|_| record(&mut writer)));
    let small = record(&mut database.superuser());
    writer.batch_execute("COMMIT").unwrap();
    let (mut found, mut cursor, mut later) = (Vec::new(), String::new(), Vec::new());
    for _ in 0..30 {
        let page = page(&mut reader, &cursor, &of(TENANT, 10));
        found.extend(page.ids);
        cursor = page.cursor;
        later.push(record(&mut writer));
    }
    found.extend(drain(&mut reader, &cursor, &of(TENANT, 7)).0);
    let expected: Vec<Uuid> = big.into_iter().chain([small]).chain(later).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_repeatable_read_transaction_reads_on_as_far_as_it_sees_and_loses_nothing() {
    let database = log(Cluster::shared());
    let (mut reader, mut writer) = (database.superuser(), database.superuser());
    let before = record(&mut writer);
    reader
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        .unwrap();
    let after = record(&mut writer);
    let (found, cursor) = drain(&mut reader, "", &of(TENANT, 500));
    assert_eq!(found, [before]);
    // A cursor that has come further than this transaction sees, complete and in the midst.
    let mut other = database.superuser();
    let ahead = drain(&mut other, &cursor, &of(TENANT, 500));
    assert_eq!(ahead.0, [after]);
    let nothing = page(&mut reader, &ahead.1, &of(TENANT, 500));
    assert!(nothing.ids.is_empty() && nothing.is_drained);
    let midst = page(&mut other, "", &of(TENANT, 1));
    let same = page(&mut reader, &midst.cursor, &of(TENANT, 500));
    assert_eq!((same.ids.len(), &same.cursor), (0, &midst.cursor));
    reader.batch_execute("COMMIT").unwrap();
    assert_eq!(drain(&mut reader, &cursor, &of(TENANT, 1)).0, [after]);
    assert_eq!(drain(&mut reader, &same.cursor, &of(TENANT, 1)).0, [after]);
    let last = record(&mut writer);
    assert_eq!(
        drain(&mut reader, &nothing.cursor, &of(TENANT, 1)).0,
        [last]
    );
}

#[test]
fn a_caller_that_has_written_is_served_and_gets_its_own_events_once_they_are_committed() {
    let database = log(Cluster::shared());
    let (mut session, mut other) = (database.superuser(), database.superuser());
    let start = now(&mut session);
    session.batch_execute("BEGIN").unwrap();
    let own = record(&mut session);
    let foreign = record(&mut other);
    let (found, cursor) = drain(&mut session, &start, &of(TENANT, 500));
    assert_eq!(found, [foreign]);
    session.batch_execute("SAVEPOINT a").unwrap();
    let own_too = record(&mut session);
    let (found, cursor) = drain(&mut session, &cursor, &of(TENANT, 500));
    assert_eq!(found, [] as [Uuid; 0]);
    let second_start = now(&mut session);
    session.batch_execute("COMMIT").unwrap();
    for cursor in [cursor, second_start] {
        let (found, _) = drain(&mut session, &cursor, &of(TENANT, 500));
        assert_eq!(found, [own, own_too]);
    }
}

#[test]
fn reading_assigns_no_transaction_id() {
    let database = log(Cluster::shared());
    record(&mut database.superuser());
    let login = database.create_login(&["activity_reader"]);
    let mut reader = database.connect_as(&login);
    reader
        .batch_execute(&format!("BEGIN; SET LOCAL activity.tenant_id = '{TENANT}'"))
        .unwrap();
    assert_eq!(page(&mut reader, "", "").ids.len(), 1);
    now(&mut reader);
    assert_eq!(
        reader.text("SELECT pg_current_xact_id_if_assigned()::text"),
        None
    );
}

#[test]
fn a_filter_gives_what_it_says_and_the_cursor_passes_the_rest() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let actions = [
        "auth.login",
        "auth.login.failed",
        "authority.granted",
        "auth.logout",
    ];
    let ids = actions.map(|action| record_for(&mut session, TENANT, action));
    let filtered = |session: &mut _, patterns: &str| {
        let arguments = format!("{}, actions => {patterns}", of(TENANT, 2));
        drain(session, "", &arguments)
    };
    let (found, cursor) = filtered(&mut session, "ARRAY['auth.*']");
    assert_eq!(found, [ids[0], ids[1], ids[3]]);
    assert_eq!(
        drain(&mut session, &cursor, &of(TENANT, 5)).0,
        [] as [Uuid; 0]
    );
    let (found, _) = filtered(&mut session, "ARRAY['auth.login', 'authority.granted']");
    assert_eq!(found, [ids[0], ids[2]]);
    for everything in ["NULL", "'{}'", "'{\"\", NULL}'"] {
        assert_eq!(filtered(&mut session, everything).0, ids);
    }
    let bad = format!("SELECT * FROM activity.read_stream('{TENANT}', actions => '{{Auth}}')");
    let refusal = expect_error(session.simple_query(&bad), "22023");
    assert!(refusal.hint.contains("auth.*"), "{refusal:?}");
}

#[test]
fn a_reader_stays_with_its_tenant_and_an_auditor_reads_all() {
    let database = log(Cluster::shared());
    let mut writer = database.superuser();
    let (own, other) = (
        record(&mut writer),
        record_for(&mut writer, OTHER_TENANT, "a.b"),
    );
    let login = database.create_login(&["activity_reader"]);
    let mut reader = database.connect_as(&login);
    let read = |arguments: &str| format!("SELECT * FROM activity.read_stream({arguments})");
    expect_error(reader.simple_query(&read("")), "22004");
    let nil = read("'00000000-0000-0000-0000-000000000000'");
    expect_error(reader.simple_query(&nil), "42501");
    reader
        .batch_execute(&format!("SET activity.tenant_id = '{TENANT}'"))
        .unwrap();
    assert_eq!(drain(&mut reader, "", "").0, [own]);
    expect_error(
        reader.simple_query(&read(&format!("'{OTHER_TENANT}'"))),
        "42501",
    );
    database
        .superuser()
        .batch_execute(&format!(
            "INSERT INTO activity.role_tenants VALUES ('{login}', '{OTHER_TENANT}')"
        ))
        .unwrap();
    expect_error(reader.simple_query(&read("")), "42501");

    let login = database.create_login(&["activity_auditor"]);
    let mut auditor = database.connect_as(&login);
    let (all, cursor) = drain(&mut auditor, "", ", page_size => 1");
    assert_eq!(all.iter().filter(|id| [own, other].contains(id)).count(), 2);
    assert!(all.len() > 2, "the platform's own events too");
    let more = [
        record(&mut writer),
        record_for(&mut writer, OTHER_TENANT, "a.b"),
    ];
    // That he reads is an event itself, which the worker writes some time later.
    let (found, _) = drain(&mut auditor, &cursor, ", actions => '{a.*}'");
    assert_eq!(found, more);
    assert_eq!(
        drain(&mut auditor, "", &of(OTHER_TENANT, 5)).0,
        [other, more[1]]
    );
    database
        .superuser()
        .batch_execute(&format!(
            "INSERT INTO activity.role_tenants VALUES ('{login}', '{TENANT}')"
        ))
        .unwrap();
    assert_eq!(drain(&mut auditor, "", "").0, [own, more[0]], "pinned");
    let writer = database.create_login(&["activity_writer"]);
    expect_error(
        database.connect_as(&writer).simple_query(&read("")),
        "42501",
    );
}

#[test]
fn all_tenants_get_a_late_commit_too_however_long_it_was_open() {
    let database = log(Cluster::shared());
    let (mut reader, mut slow, mut quick) = (
        database.superuser(),
        database.superuser(),
        database.superuser(),
    );
    slow.batch_execute("BEGIN").unwrap();
    let late = record(&mut slow);
    let mut cursor = now(&mut reader);
    for _ in 0..5 {
        let id = record_for(&mut quick, OTHER_TENANT, "a.b");
        let (found, next) = drain(&mut reader, &cursor, "");
        assert_eq!(found, [id]);
        cursor = next;
    }
    slow.batch_execute("COMMIT").unwrap();
    let (found, cursor) = drain(&mut reader, &cursor, "");
    assert_eq!(found, [late]);
    assert_eq!(drain(&mut reader, &cursor, "").0, [] as [Uuid; 0]);
}

#[test]
fn the_columns_are_those_of_list() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    session
        .batch_execute(&format!(
            "SELECT activity.record('a.b', '{{\"n\": [1, {{\"deep\": null}}]}}', '{TENANT}', 'actor', 'user', 'file', 'object',
                'denied', '2001:db8::7', 'agent', 'request', '2024-02-03T04:05:06.789Z');
             SELECT activity.record('a.b', jsonb_build_object('long', repeat('x', 9000)), '{TENANT}', client_ip => '203.0.113.7')"
        ))
        .unwrap();
    let columns = "to_jsonb(e) - 'cursor' - 'next_cursor'";
    let of = |call: &str| format!("SELECT ({columns})::text FROM {call} e ORDER BY e.event_id");
    let listed = session.texts(&of(&format!("activity.list('{TENANT}')")));
    let streamed = session.texts(&of(&format!("activity.read_stream('{TENANT}')")));
    assert_eq!(listed.len(), 2);
    assert_eq!(streamed[..2], listed);
}

#[test]
fn page_sizes_are_checked() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    for size in ["0", "-1", "10001"] {
        let call = format!("SELECT * FROM activity.read_stream('{TENANT}', page_size => {size})");
        expect_error(session.simple_query(&call), "22023");
    }
    session
        .simple_query(&format!(
            "SELECT * FROM activity.read_stream('{TENANT}', page_size => NULL, cursor => NULL)"
        ))
        .unwrap();
    let mut before = database.cluster().database_before_setup().superuser();
    expect_error(
        before.simple_query("SELECT activity.stream_start()"),
        "55000",
    );
    expect_error(
        before.simple_query("SELECT * FROM activity.read_stream()"),
        "55000",
    );
}
