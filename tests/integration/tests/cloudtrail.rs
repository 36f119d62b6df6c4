//! Real input: 2,122 events of AWS CloudTrail through examples/import_cloudtrail.sql.
//!
//! The data is not part of the repository. `ACTIVITY_TEST_DATA` names its folder; without it, a
//! folder `shared/data` beside the checkout is tried. Where there is none, the tests say so.

use activity_log_integration::{Cluster, Database, Options, Session};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use uuid::Uuid;

const ACCOUNT: &str = "123837392027";
const EVENTS: usize = 2_122;

/// The events, and a database into which they were imported twice.
struct Imported {
    source: Vec<Value>,
    cluster: Cluster,
    database: String,
    /// What the runs of the import printed.
    printed: [String; 2],
}

impl Imported {
    fn database(&self) -> Database<'_> {
        self.cluster.existing_database(&self.database)
    }

    /// A session that may read and has no right beyond that.
    fn reader(&self) -> Session {
        let database = self.database();
        let login = database.create_login(&["activity_reader"]);
        database.connect_as(&login)
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn data_file() -> Option<PathBuf> {
    let folder = match std::env::var_os("ACTIVITY_TEST_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => repository().parent()?.join("shared").join("data"),
    };
    Some(folder.join("cloudtrail.ndjson")).filter(|file| file.is_file())
}

/// The imported events; without the data, `None` and a message.
fn imported() -> Option<&'static Imported> {
    static IMPORTED: OnceLock<Option<Imported>> = OnceLock::new();
    let imported = IMPORTED.get_or_init(|| data_file().map(|file| import_twice(&file)));
    if imported.is_none() {
        eprintln!("skipped: no cloudtrail.ndjson in the folder that ACTIVITY_TEST_DATA names");
    }
    imported.as_ref()
}

fn import_twice(file: &Path) -> Imported {
    let cluster = Cluster::start(&Options {
        // No segment of the log of writes is recycled.
        settings: &[("wal_keep_size", "2GB")],
        ..Options::default()
    });
    let database = cluster.database();
    let name = database.name().to_owned();
    let mut session = database.superuser();
    let mut alter = |what: &str| session.batch_execute(what).unwrap();
    // Compressed metadata would hide from a search for bytes what it holds.
    alter("ALTER TABLE activity.events ALTER metadata SET STORAGE EXTERNAL");
    // Whatever a server may log of the import's statements is logged, not those of the tests.
    alter(&format!("ALTER DATABASE {name} SET log_statement = 'all'"));
    let printed = [(); 2].map(|()| import(&database, File::open(file).unwrap().into()));
    alter(&format!("ALTER DATABASE {name} RESET log_statement"));
    let source = std::fs::read_to_string(file).unwrap();
    Imported {
        source: source
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
        cluster,
        database: name,
        printed,
    }
}

/// Runs the example as its first lines say; what it printed.
fn import(database: &Database<'_>, input: Stdio) -> String {
    let output = database
        .program("psql")
        .args(["-X", "-f"])
        .arg(repository().join("examples/import_cloudtrail.sql"))
        .stdin(input)
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn text<'e>(event: &'e Value, key: &str) -> &'e str {
    event[key].as_str().unwrap_or_default()
}

fn is_address(event: &Value) -> bool {
    text(event, "sourceIPAddress").parse::<IpAddr>().is_ok()
}

#[test]
fn every_event_lands_and_a_second_run_adds_none() {
    let Some(imported) = imported() else { return };
    assert_eq!(imported.source.len(), EVENTS);
    assert_eq!(
        imported.printed,
        [
            "2122 recorded, 0 known already, 0 refused; 232 new actions",
            "0 recorded, 2122 known already, 0 refused; 0 new actions",
        ]
    );
    let query = "SELECT count(*) FROM activity.events WHERE action LIKE 'aws.%'";
    assert_eq!(imported.database().superuser().number(query), EVENTS as i64);
}

#[test]
fn every_event_keeps_its_time_and_says_how_it_ended() {
    let Some(imported) = imported() else { return };
    let rows = imported.database().superuser().query(
        "SELECT metadata ->> 'eventID', to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), status
         FROM activity.events WHERE action LIKE 'aws.%'",
        &[],
    );
    let stored: BTreeSet<(String, String, String)> = rows
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let status = |event: &Value| match text(event, "errorCode") {
        "AccessDenied" | "Client.UnauthorizedOperation" => "denied",
        "" => "success",
        _ => "failure",
    };
    let expected: BTreeSet<(String, String, String)> = imported
        .source
        .iter()
        .map(|e| {
            (
                text(e, "eventID").into(),
                text(e, "eventTime").into(),
                status(e).into(),
            )
        })
        .collect();
    assert!(
        expected
            .iter()
            .all(|(_, time, _)| time.starts_with("2023-07-10T1"))
    );
    assert_eq!(stored, expected);
}

#[test]
fn an_event_is_found_under_its_names() {
    let Some(imported) = imported() else { return };
    let row = imported
        .database()
        .superuser()
        .query_one(
            "SELECT action, actor_type, actor_id, object_type, object_id, request_id, ip_prefix::text, metadata
             FROM activity.events WHERE metadata ->> 'eventID' = '3c856bc0-1a07-4c18-89d9-4d9205856714'",
            &[],
        )
        .unwrap();
    let texts: Vec<String> = (0..7).map(|column| row.get(column)).collect();
    let bucket = "arn:aws:s3:::baker221b-bucketssecuritylogsbef08b3e-13nrzhi7fcs7w";
    assert_eq!(
        texts,
        [
            "aws.s3.get_bucket_public_access_block",
            "user",
            "arn:aws:iam::123837392027:user/benjamin",
            "aws.s3.bucket",
            bucket,
            "NDWZRY56ZA5P31TT",
            "10.248.16.0/24",
        ]
    );
    let metadata: Value = row.get(7);
    assert_eq!(metadata["eventName"], "GetBucketPublicAccessBlock");
    assert_eq!(metadata["additionalEventData"]["bytesTransferredOut"], 326);
    let key = metadata["userIdentity"]["accessKeyId"].as_str().unwrap();
    assert!(key.starts_with("[redacted:access_key:"), "{key}");
}

#[test]
fn a_caller_that_is_no_address_stays_in_the_metadata() {
    let Some(imported) = imported() else { return };
    let kept = imported.database().superuser().query(
        "SELECT metadata ->> 'sourceIPAddress', count(*) FROM activity.events
         WHERE metadata ? 'sourceIPAddress' AND ip_hash IS NULL GROUP BY 1",
        &[],
    );
    let kept: BTreeMap<String, i64> = kept
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let mut expected = BTreeMap::new();
    for event in imported.source.iter().filter(|event| !is_address(event)) {
        *expected
            .entry(text(event, "sourceIPAddress").to_owned())
            .or_insert(0) += 1;
    }
    assert_eq!(expected["AWS Internal"], 157);
    assert_eq!(kept, expected);
}

#[test]
fn pages_lead_through_all_events_in_order() {
    let Some(imported) = imported() else { return };
    let mut reader = imported.reader();
    let page = reader
        .prepare(
            "SELECT event_id, (extract(epoch FROM occurred_at) * 1000000)::bigint, cursor
             FROM activity.list(tenant_id => activity.tenant($1), cursor => $2, page_size => 100)",
        )
        .unwrap();
    let mut places: Vec<(i64, Uuid)> = Vec::new();
    let mut cursor: Option<String> = None;
    let mut sizes = Vec::new();
    loop {
        let rows = reader.query(&page, &[&ACCOUNT, &cursor]).unwrap();
        let Some(last) = rows.last() else { break };
        cursor = last.get(2);
        sizes.push(rows.len());
        places.extend(
            rows.iter()
                .map(|row| (row.get::<_, i64>(1), row.get::<_, Uuid>(0))),
        );
    }
    assert_eq!(sizes.len(), 22);
    assert!(sizes[..21].iter().all(|size| *size == 100), "{sizes:?}");
    // Strictly falling, so none comes twice.
    assert!(places.windows(2).all(|pair| pair[0] > pair[1]));
    assert_eq!(places.len(), EVENTS);
}

#[test]
fn a_search_for_a_raw_address_finds_exactly_its_events() {
    let Some(imported) = imported() else { return };
    let mut reader = imported.reader();
    let mut expected: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    for event in imported.source.iter().filter(|event| is_address(event)) {
        let address = text(event, "sourceIPAddress").parse().unwrap();
        expected
            .entry(address)
            .or_default()
            .insert(text(event, "eventID").to_owned());
    }
    assert_eq!(
        expected[&"10.248.16.43".parse::<IpAddr>().unwrap()].len(),
        86
    );
    // Of a network that is there, and in no event.
    expected.insert("192.168.10.21".parse().unwrap(), BTreeSet::new());
    for (address, events) in expected {
        assert_eq!(found_by_address(&mut reader, address), events, "{address}");
    }
}

/// The events of an address, through all pages.
fn found_by_address(reader: &mut Session, address: IpAddr) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut cursor: Option<String> = None;
    loop {
        let rows = reader.query(
            "SELECT metadata ->> 'eventID', cursor
             FROM activity.list(tenant_id => activity.tenant($1), client_ip => $2, cursor => $3, page_size => 500)",
            &[&ACCOUNT, &address, &cursor],
        );
        let rows = rows.unwrap();
        let Some(last) = rows.last() else {
            return found;
        };
        cursor = last.get(1);
        for row in &rows {
            assert!(found.insert(row.get(0)), "an event came twice");
        }
    }
}

#[test]
fn no_key_token_or_address_is_on_the_disk_of_the_server() {
    let Some(imported) = imported() else { return };
    imported
        .database()
        .superuser()
        .batch_execute("CHECKPOINT")
        .unwrap();
    let secrets = secrets(&imported.source);
    // Two access keys, one session token, six addresses.
    assert_eq!(secrets.len(), 9);
    assert_eq!(files_with(imported.cluster.folder(), &secrets), "");

    // The same search finds what may be there: in the table, and in the log of writes.
    let request = BTreeSet::from(["NDWZRY56ZA5P31TT".to_owned()]);
    let found = files_with(imported.cluster.folder(), &request);
    assert!(
        found.contains("/data/base/") && found.contains("/data/pg_wal/"),
        "{found}"
    );
}

#[test]
fn no_key_token_or_address_can_be_read_from_the_log() {
    let Some(imported) = imported() else { return };
    let mut session = imported.database().superuser();
    let events = session.texts("SELECT e::text FROM activity.events e");
    assert!(events.len() > EVENTS);
    let keys = session.texts("SELECT k::text FROM activity.idempotency_keys k");
    let registry = session.texts("SELECT v::text FROM activity.actions v");
    for secret in secrets(&imported.source) {
        for row in events.iter().chain(&keys).chain(&registry) {
            assert!(!row.contains(&secret));
        }
    }
}

/// Every access key, session token and address of a caller in the data.
fn secrets(source: &[Value]) -> BTreeSet<String> {
    let mut secrets = BTreeSet::new();
    for event in source {
        if is_address(event) {
            secrets.insert(text(event, "sourceIPAddress").to_owned());
        }
        collect_secrets("", event, &mut secrets);
    }
    secrets
}

fn collect_secrets(key: &str, value: &Value, secrets: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            object
                .iter()
                .for_each(|(key, value)| collect_secrets(key, value, secrets));
        }
        Value::Array(array) => array
            .iter()
            .for_each(|value| collect_secrets(key, value, secrets)),
        Value::String(text) => {
            if key == "sessionToken" {
                secrets.insert(text.clone());
            }
            secrets.extend(access_keys(text));
        }
        _ => {}
    }
}

fn access_keys(text: &str) -> impl Iterator<Item = String> + '_ {
    let starts = ["AKIA", "ASIA"]
        .into_iter()
        .flat_map(|prefix| text.match_indices(prefix));
    starts.filter_map(|(start, _)| {
        let key = text.get(start..start + 20)?;
        key.bytes()
            .all(|byte| byte.is_ascii_alphanumeric())
            .then(|| key.to_owned())
    })
}

/// The files under a folder that hold one of the texts, one a line; empty if none does.
fn files_with(folder: &Path, texts: &BTreeSet<String>) -> String {
    let mut needles = tempfile::NamedTempFile::new().unwrap();
    for text in texts {
        writeln!(needles, "{text}").unwrap();
    }
    let output = Command::new("grep")
        .args(["-rlaF", "-f"])
        .args([needles.path(), folder])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    // A file that goes while grep looks is none that stays.
    assert!(output.status.code() < Some(2) || !output.stdout.is_empty());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_cannot_be_imported_is_reported_by_its_line() {
    let database = Cluster::shared().database();
    let mut lines = tempfile::tempfile().unwrap();
    write!(
        lines,
        r#"{{"eventSource":"iam.amazonaws.com","eventName":"ListMFADevices","recipientAccountId":"1","eventID":"a","requestParameters":{{"path":"C:\\\"x\",y"}}}}

{{"torn":
{{"eventSource":"iam.amazonaws.com","eventName":"GetUser","eventID":"b"}}
{{"eventSource":"iam.amazonaws.com","eventName":"GetUser","recipientAccountId":"1","requestParameters":{{"a":"{}"}}}}
{{"eventSource":"iam.amazonaws.com","eventName":"GetUser","recipientAccountId":"1","sourceIPAddress":"2001:db8::1"}}"#,
        "x".repeat(20_000)
    )
    .unwrap();
    std::io::Seek::rewind(&mut lines).unwrap();
    let printed = import(&database, lines.into());
    let refused: Vec<&str> = printed
        .lines()
        .filter(|line| line.contains(" | 22"))
        .collect();
    let places: Vec<String> = refused
        .iter()
        .map(|line| line.replace(' ', "")[..8].into())
        .collect();
    assert_eq!(places, ["3|22023|", "4|22004|", "5|22001|"], "{printed}");
    assert!(
        printed.ends_with("2 recorded, 0 known already, 3 refused; 2 new actions"),
        "{printed}"
    );
    let mut session = database.superuser();
    let path = "SELECT metadata #>> '{requestParameters,path}' FROM activity.events WHERE action = 'aws.iam.list_mfa_devices'";
    assert_eq!(session.text(path).unwrap(), r#"C:\"x",y"#);
    let prefix = "SELECT ip_prefix::text FROM activity.events WHERE action = 'aws.iam.get_user'";
    assert_eq!(session.text(prefix).unwrap(), "2001:db8::/48");
}
