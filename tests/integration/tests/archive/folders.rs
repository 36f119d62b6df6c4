//! Which folders are taken, and what happens where one takes no more.

use super::*;
use std::os::unix::fs::symlink;

#[track_caller]
fn refusal(session: &mut Session, folder: &Path, sqlstate: &str) -> String {
    let partition = partition(session);
    let statement = archive_statement(&partition, folder);
    expect_error(session.query(&statement, &[]), sqlstate).message
}

#[test]
fn only_a_folder_that_nobody_else_can_change_is_taken() {
    let database = Cluster::shared().database();
    let mut owner = database.superuser();
    let folder = folder_of(&database);
    let link = folder.with_file_name(format!("link-{}", database.name()));
    symlink(&folder, &link).unwrap();
    let below_link = link.join("below");
    std::fs::create_dir(folder.join("below")).unwrap();
    give_to_server(&folder);
    let file = folder.join("file");
    std::fs::write(&file, "").unwrap();
    let text = folder.display().to_string();
    for (path, problem) in [
        ("archive".to_owned(), "absolute"),
        ("./archive".to_owned(), "absolute"),
        (format!("{text}/.."), "no part"),
        (format!("{text}/./below"), "no part"),
        (format!("{text}/below/../below"), "no part"),
        ("/".to_owned(), "no part"),
        (format!("{text}/missing"), "a folder that is there"),
        (file.display().to_string(), "a folder that is there"),
        (link.display().to_string(), "symbolic link"),
        (below_link.display().to_string(), "symbolic link"),
        ("/proc".to_owned(), "be able to write"),
        ("/tmp".to_owned(), "writable for everybody"),
    ] {
        let message = refusal(&mut owner, Path::new(&path), "22023");
        assert!(message.contains(problem), "{path}: {message}");
    }
    set_mode(&folder, 0o707);
    let message = refusal(&mut owner, &folder, "22023");
    assert!(message.contains("writable for everybody"), "{message}");
    // A folder of its own below one that everybody may write to can be exchanged.
    let message = refusal(&mut owner, &folder.join("below"), "22023");
    assert!(message.contains("writable for everybody"), "{message}");
    set_mode(&folder, 0o700);
    let partition = partition(&mut owner);
    archive(&mut owner, &partition, &folder.join("below"));
}

#[test]
fn the_servers_own_folders_are_not_taken() {
    let cluster = Cluster::shared();
    let database = cluster.database();
    let mut owner = database.superuser();
    let data = cluster.folder().join("data");
    let space = new_folder(cluster, &format!("space-{}", database.name()));
    owner
        .batch_execute(&format!(
            "CREATE TABLESPACE space_of_archives LOCATION '{}'",
            space.display()
        ))
        .unwrap();
    for folder in [
        data.clone(),
        data.join("base"),
        data.join("pg_wal"),
        space.clone(),
    ] {
        let message = refusal(&mut owner, &folder, "22023");
        assert!(message.contains("data directory"), "{folder:?}: {message}");
    }
    owner
        .batch_execute("DROP TABLESPACE space_of_archives")
        .unwrap();
}

#[test]
fn a_link_that_waits_under_the_name_of_the_new_file_is_not_followed() {
    let database = Cluster::shared().database();
    let folder = folder_of(&database);
    let mut owner = database.superuser();
    let partition = partition(&mut owner);
    let path = archive(&mut owner, &partition, &folder);
    let stem = file_of(&path)
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let stem: Vec<&str> = stem.split('.').take(2).collect();
    let victim = folder.join("victim");
    std::fs::write(&victim, "precious").unwrap();
    symlink(&victim, folder.join(format!(".{}.partial", stem.join(".")))).unwrap();
    insert(&mut owner, &[]);
    archive(&mut owner, &partition, &folder);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn a_full_disk_fails_the_archive_and_leaves_nothing() {
    let database = Cluster::shared().database();
    let folder = folder_of(&database);
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k,mode=0755", "tmpfs"])
        .arg(&folder)
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this user can't mount a small file system");
        return;
    }
    give_to_server(&folder);
    let mut owner = database.superuser();
    insert(
        &mut owner,
        &[(
            "metadata",
            "(SELECT jsonb_build_object('v', string_agg(md5(i::text), '')) FROM generate_series(1, 20000) i)",
        )],
    );
    let message = refusal(&mut owner, &folder, "53100");
    let left = files(&folder);
    Command::new("umount").arg(&folder).status().unwrap();
    assert!(message.contains("can't be used"), "{message}");
    assert_eq!(left, [""; 0]);
}

#[test]
fn null_and_unknown_arguments_are_named() {
    let database = Cluster::shared().database();
    let mut owner = database.superuser();
    for (call, sqlstate, part) in [
        ("archive_partition()", "22004", "partition"),
        ("archive_partition('', '/srv')", "22004", "partition"),
        ("archive_partition('x', NULL)", "22004", "archive_to"),
        ("archive_partition('no_such', '/srv')", "42704", "partition"),
        // Not every table of the schema is one of events.
        ("archive_partition('actions', '/srv')", "42704", "partition"),
        ("restore_archive(NULL)", "22004", "path"),
        ("restore_archive('/etc/passwd')", "22023", "path"),
        ("restore_archive('relative.manifest.json')", "22023", "path"),
        ("verify_archive('')", "22004", "path"),
        ("drop_restored_archive(NULL)", "22004", "table_name"),
        ("drop_restored_archive('events')", "42704", "table_name"),
    ] {
        let result = owner.query(&format!("SELECT activity.{call}"), &[]);
        let refusal = expect_error(result, sqlstate);
        assert!(refusal.message.contains(part), "{call}: {refusal:?}");
    }
}
