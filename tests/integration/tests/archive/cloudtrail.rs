//! 100,000 rows of real input.
//!
//! The data is not part of the repository. `ACTIVITY_TEST_DATA` names its folder; without it, a
//! folder `shared/data` beside the checkout is tried. Where there is none, the test says so.

use super::*;
use std::io::Write;

const ROWS: i64 = 100_000;

fn data_file() -> Option<PathBuf> {
    let beside = || {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let repository = repository.canonicalize().ok()?;
        Some(repository.parent()?.join("shared").join("data"))
    };
    let folder = std::env::var_os("ACTIVITY_TEST_DATA").map_or_else(beside, |f| Some(f.into()))?;
    Some(folder.join("cloudtrail.ndjson")).filter(|file| file.is_file())
}

fn load(session: &mut Session, file: &Path) {
    session
        .batch_execute(
            "CREATE TEMPORARY TABLE source (n int GENERATED ALWAYS AS IDENTITY, line jsonb)",
        )
        .unwrap();
    // CSV with quotes that no JSON has: each line is one value as it stands.
    let copy = "COPY source (line) FROM STDIN (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')";
    let mut input = session.copy_in(copy).unwrap();
    input.write_all(&std::fs::read(file).unwrap()).unwrap();
    input.finish().unwrap();
    session
        .batch_execute(&format!(
            "INSERT INTO activity.events (recorded_at, occurred_at, xact, gen, event_id, tenant_id, action, status, source,
                    actor_type, actor_id, object_type, user_agent, ip_hash, metadata, changes)
             SELECT clock_timestamp(), (line->>'eventTime')::timestamptz + i * interval '1 microsecond', '77', 1, gen_random_uuid(),
                    CASE WHEN i % 3 = 0 THEN '{TENANT_A}'::uuid ELSE '{TENANT_B}' END,
                    'aws.' || lower(line->>'eventName'), 'success', 'import', line->'userIdentity'->>'type',
                    line->'userIdentity'->>'arn', line->>'eventSource', line->>'userAgent', decode(md5(i::text), 'hex'), line,
                    CASE WHEN i % 5 = 0 THEN jsonb_build_object('old', line->'userIdentity', 'new', line->'requestParameters') END
             FROM generate_series(1, {ROWS}) i JOIN source ON n = i % (SELECT count(*) FROM source) + 1"
        ))
        .unwrap();
}

#[test]
fn a_hundred_thousand_rows_come_back_bit_by_bit() {
    let Some(file) = data_file() else {
        eprintln!("skipped: no cloudtrail.ndjson in the folder that ACTIVITY_TEST_DATA names");
        return;
    };
    let database = Cluster::shared().database();
    let folder = folder_of(&database);
    let mut owner = database.superuser();
    load(&mut owner, &file);
    let partition = partition(&mut owner);
    let began = std::time::Instant::now();
    let path = archive(&mut owner, &partition, &folder);
    let archived = began.elapsed();
    let table = restore(&mut owner, &path, "restored_trail");
    let restored = began.elapsed() - archived;
    let manifest = manifest(&path);
    println!(
        "{ROWS} rows, {} MB of lines in {} MB: archived and read back in {archived:?}, restored in {restored:?}",
        manifest["lines_bytes"].as_u64().unwrap() >> 20,
        manifest["bytes"].as_u64().unwrap() >> 20,
    );
    assert_eq!(manifest["rows"], ROWS + 1);
    let differing = owner.number(&format!(
        "SELECT count(*) FROM
            (SELECT event_id, sha256(record_send(e)) AS digest FROM activity.{partition} e) a
         FULL JOIN (SELECT event_id, sha256(record_send(e)) AS digest FROM {table} e) b USING (event_id, digest)
         WHERE (a.event_id IS NULL OR b.event_id IS NULL)"
    ));
    // The two events about archiving and restoring came later.
    assert_eq!(differing, 2);
}
