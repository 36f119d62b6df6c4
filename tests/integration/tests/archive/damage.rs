//! A damaged archive is refused, and leaves nothing behind.

use super::*;
use std::fs;

/// A log with some events in an archive.
fn archived() -> (Database<'static>, String) {
    let database = Cluster::shared().database();
    let folder = folder_of(&database);
    let mut owner = database.superuser();
    insert(
        &mut owner,
        &[(
            "metadata",
            "(SELECT jsonb_object_agg(i::text, md5(i::text)) FROM generate_series(1, 2000) i)",
        )],
    );
    let partition = partition(&mut owner);
    let path = archive(&mut owner, &partition, &folder);
    (database, path)
}

#[track_caller]
fn assert_refused(database: &Database<'_>, path: &str, sqlstate: &str, message: &str) {
    let mut owner = database.superuser();
    for statement in [
        format!("SELECT activity.restore_archive('{path}')"),
        format!("SELECT activity.verify_archive('{path}')"),
    ] {
        let refusal = expect_error(owner.query(&statement, &[]), sqlstate);
        assert!(refusal.message.contains(message), "{refusal:?}");
    }
    let tables = owner.number("SELECT count(*) FROM activity.restored_archives");
    assert_eq!(tables, 0);
    let left = owner.number(
        "SELECT count(*) FROM pg_class WHERE relname LIKE 'restored\\_%' AND relname NOT LIKE 'restored\\_archives%'",
    );
    assert_eq!(left, 0);
}

#[test]
fn a_changed_byte_is_noticed_wherever_it_is() {
    let (database, path) = archived();
    let file = file_of(&path);
    let whole = fs::read(&file).unwrap();
    for place in [0, 5, whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        fs::write(&file, bytes).unwrap();
        assert_refused(&database, &path, "XX001", "digest");
    }
    fs::write(&file, whole).unwrap();
    let statement = format!("SELECT activity.verify_archive('{path}')");
    assert_eq!(database.superuser().number(&statement), 2);
}

#[test]
fn a_file_that_is_too_short_or_too_long_is_noticed() {
    let (database, path) = archived();
    let file = file_of(&path);
    let whole = fs::read(&file).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        assert_refused(&database, &path, "XX001", "size");
    }
    fs::write(&file, [&whole[..], b"\n"].concat()).unwrap();
    assert_refused(&database, &path, "XX001", "size");
    fs::remove_file(&file).unwrap();
    assert_refused(&database, &path, "58P01", "a file of the archive");
}

#[test]
fn other_rows_in_a_file_that_the_manifest_was_made_to_fit_are_noticed() {
    let (database, path) = archived();
    let file = file_of(&path);
    let text = lines(&path).join("\n") + "\n";
    // Somebody changes a row and corrects the digest of the file, but not that of the lines.
    let forged = text.replacen("test.row", "test.raw", 1);
    assert_ne!(forged, text);
    let plain = file.with_extension("");
    fs::write(&plain, forged).unwrap();
    let packed = Command::new("gzip")
        .arg("-nc")
        .arg(&plain)
        .output()
        .unwrap();
    fs::write(&file, &packed.stdout).unwrap();
    let sum = Command::new("sha256sum").arg(&file).output().unwrap();
    let mut manifest = manifest(&path);
    manifest["sha256"] = String::from_utf8(sum.stdout).unwrap()[..64].into();
    manifest["bytes"] = packed.stdout.len().into();
    fs::write(&path, manifest.to_string()).unwrap();
    assert_refused(&database, &path, "XX001", "the lines have not the digest");
}

#[test]
fn a_manifest_that_is_none_is_refused() {
    let (database, path) = archived();
    let whole = manifest(&path);
    let text = whole.to_string();
    for broken in ["", "{}", "[]", &text[..text.len() / 2], "\u{0}"] {
        fs::write(&path, broken).unwrap();
        assert_refused(&database, &path, "XX001", "manifest");
    }
    for (member, value) in [
        ("format", Value::from("activity_log/archive/v2")),
        ("rows", Value::from(-1)),
        ("columns", Value::Array(vec![])),
        // A manifest names a file beside it and no other one.
        ("file", Value::from("../../etc/passwd")),
        ("file", Value::from("/etc/passwd.ndjson.gz")),
        ("file", Value::from("..ndjson.gz")),
    ] {
        let mut broken = whole.clone();
        broken[member] = value;
        fs::write(&path, broken.to_string()).unwrap();
        assert_refused(&database, &path, "XX001", "manifest");
    }
    let mut fewer = whole.clone();
    fewer["rows"] = 1.into();
    fs::write(&path, fewer.to_string()).unwrap();
    assert_refused(&database, &path, "XX001", "as many rows");
}

#[test]
fn no_word_of_a_manifest_gets_into_a_statement() {
    let (database, path) = archived();
    let mut owner = database.superuser();
    owner
        .batch_execute("CREATE TABLE public.precious ()")
        .unwrap();
    let whole = manifest(&path);
    for (name, type_name) in [
        ("harm", "int); DROP TABLE public.precious; --"),
        ("harm", "no_such_type"),
        ("harm\" int); DROP TABLE public.precious; --", "integer"),
    ] {
        let mut forged = whole.clone();
        let column = serde_json::json!({"name": name, "type": type_name});
        forged["columns"].as_array_mut().unwrap().push(column);
        fs::write(&path, forged.to_string()).unwrap();
        let restored = owner.query(
            &format!("SELECT activity.restore_archive('{path}', 'restored_forged')"),
            &[],
        );
        // A column of any name is a name and nothing else.
        assert_eq!(restored.is_ok(), type_name == "integer", "{restored:?}");
    }
    assert_eq!(owner.number("SELECT count(*) FROM public.precious"), 0);
    let mut other_type = whole.clone();
    other_type["columns"][7]["type"] = "integer".into();
    fs::write(&path, other_type.to_string()).unwrap();
    let statement = format!("SELECT activity.restore_archive('{path}', 'restored_typed')");
    expect_error(owner.query(&statement, &[]), "22023");
}

#[test]
fn a_link_in_place_of_a_file_is_not_followed() {
    let (database, path) = archived();
    let file = file_of(&path);
    let elsewhere = file.with_file_name("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert_refused(&database, &path, "58P01", "a file of the archive");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_refused(&database, &path, "58P01", "a file of the archive");
}
