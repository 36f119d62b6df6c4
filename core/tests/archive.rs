//! Lines, manifests and names of archives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test panics"
)]

use activity_log_core::archive::{
    Column, Contents, FolderProblem, Manifest, Origin, Problem, RowKey, Writer, check_file,
    check_folder, file_names, is_table_name, manifest_path, read_line, read_lines, stem,
    write_line,
};
use proptest::prelude::*;
use std::path::PathBuf;

fn column(name: &str, type_name: &str) -> Column {
    Column {
        name: name.into(),
        type_name: type_name.into(),
    }
}

fn columns() -> Vec<Column> {
    vec![
        column("recorded_at", "timestamp with time zone"),
        column("gen", "integer"),
        column("is_odd", "boolean"),
        column("actor \"id\"", "text"),
        column("metadata", "jsonb"),
    ]
}

fn line(cells: &[Option<&str>]) -> String {
    let mut output = Vec::new();
    write_line(&mut output, &columns(), cells.iter().copied());
    String::from_utf8(output).unwrap()
}

#[test]
fn a_line_is_json_that_anybody_reads() {
    let cells = [
        Some("2026-01-31 12:00:00.000001+00"),
        Some("-7"),
        Some("t"),
        Some("Zoë \"O\\Neil\"\n\u{1}"),
        Some(r#"{"n": 1.10}"#),
    ];
    assert_eq!(
        line(&cells),
        concat!(
            r#"{"recorded_at":"2026-01-31T12:00:00.000001+00:00","gen":-7,"is_odd":true,"#,
            r#""actor \"id\"":"Zoë \"O\\Neil\"\n\u0001","metadata":{"n": 1.10}}"#,
            "\n"
        )
    );
    assert_eq!(line(&[None; 5]), "{}\n");
    assert_eq!(
        line(&[None, None, None, None, Some("null")]),
        "{\"metadata\":null}\n"
    );
    for unusual in ["infinity", "-infinity", "0044-03-15 12:00:00+00 BC"] {
        assert_eq!(
            line(&[Some(unusual)]),
            format!("{{\"recorded_at\":\"{unusual}\"}}\n")
        );
    }
}

#[test]
fn a_line_with_something_else_is_refused() {
    for bad in [
        "",
        "[]",
        "{",
        "null",
        r#"{"unknown":1}"#,
        r#"{"gen":"1"}"#,
        r#"{"gen":1.5}"#,
        r#"{"is_odd":1}"#,
        r#"{"actor \"id\"":null}"#,
        r#"{"recorded_at":17}"#,
    ] {
        assert!(read_line(bad, &columns()).is_err(), "{bad}");
    }
}

fn manifest_of(lines: &[&str]) -> (Manifest, Vec<u8>) {
    let mut writer = Writer::new(Vec::new());
    for (number, line) in lines.iter().enumerate() {
        let key = RowKey {
            tenant_id: [number as u8 % 2; 16],
            event_id: [number as u8; 16],
            recorded_at: number as i64,
            occurred_at: i64::MIN,
        };
        writer.write(line.as_bytes(), &key).unwrap();
    }
    let (bytes, summary) = writer.finish().unwrap();
    let origin = Origin {
        log_id: "018f0000-0000-7000-8000-000000000000".into(),
        schema_version: 1,
        partition: "events_p2026_01".into(),
        bounds: None,
        server_version: "15.20".into(),
        written_at: "2026-01-01T00:00:00Z".into(),
        columns: columns(),
    };
    let manifest = Manifest::new(
        origin,
        "a.ndjson.gz".into(),
        summary.bytes,
        summary.sha256,
        summary.contents,
    );
    (manifest, bytes)
}

fn read(manifest: &Manifest, bytes: &[u8]) -> Result<Vec<String>, Problem> {
    check_file(manifest, bytes, || Ok::<_, Problem>(()))?;
    let mut lines = Vec::new();
    read_lines(manifest, bytes, |_, line| {
        lines.push(line.to_owned());
        Ok::<_, Problem>(())
    })?;
    Ok(lines)
}

#[test]
fn the_manifest_counts_and_survives_being_written_and_read() {
    let (manifest, bytes) = manifest_of(&["{}\n", "{\"gen\":1}\n", "{}\n"]);
    let Contents {
        rows,
        tenants,
        occurred_at,
        recorded_at,
        ..
    } = &manifest.contents;
    assert_eq!((*rows, tenants.as_ref().unwrap().len()), (3, 2));
    assert_eq!(occurred_at.as_ref().unwrap().first, "-infinity");
    assert_eq!(
        recorded_at.as_ref().unwrap().last,
        "1970-01-01T00:00:00.000002Z"
    );
    assert_eq!(Manifest::parse(&manifest.to_text()).unwrap(), manifest);
    assert_eq!(
        read(&manifest, &bytes).unwrap(),
        ["{}", "{\"gen\":1}", "{}"]
    );
}

#[test]
fn the_same_lines_give_the_same_bytes() {
    let lines = ["{\"gen\":1}\n"; 50];
    assert_eq!(manifest_of(&lines), manifest_of(&lines));
}

#[test]
fn a_file_made_of_other_lines_is_no_match() {
    let (manifest, _) = manifest_of(&["{}\n", "{\"gen\":1}\n"]);
    for other in [
        &["{}\n"][..],
        &["{}\n", "{\"gen\":2}\n"],
        &["{}\n", "{\"gen\":1}\n", "{}\n"],
    ] {
        let (_, bytes) = manifest_of(other);
        assert!(read(&manifest, &bytes).is_err(), "{other:?}");
        let passes_lines = read_lines(&manifest, &bytes[..], |_, _| Ok::<_, Problem>(())).is_ok();
        assert!(!passes_lines, "{other:?}");
    }
}

#[test]
fn names_tell_the_table_the_log_and_the_lines() {
    let stem = stem("events_p2026_01", "018f4b2c-aaaa-7bbb-8ccc-123456789012");
    assert_eq!(stem, "events_p2026_01.018f4b2caaaa");
    let (file, manifest) = file_names(&stem, "0123456789abcdef");
    assert_eq!(file, "events_p2026_01.018f4b2caaaa.0123456789ab.ndjson.gz");
    let path = format!("/srv/{manifest}");
    assert_eq!(manifest_path(&path), Some(PathBuf::from(&path)));
    assert_eq!(
        manifest_path(&format!("/srv/{file}")),
        Some(PathBuf::from(&path))
    );
    assert_eq!(manifest_path("/etc/passwd"), None);
    assert_eq!(
        activity_log_core::archive::stem("../../x y", "").as_str(),
        "------x-y."
    );
}

#[test]
fn folders_and_tables_have_plain_names() {
    for good in ["/srv/archive", "/srv/archive/", "/a b/ü"] {
        assert!(check_folder(good).is_ok(), "{good}");
    }
    for bad in ["", "srv", "./srv", "~/srv", "file:///srv"] {
        assert_eq!(check_folder(bad), Err(FolderProblem::Relative), "{bad}");
    }
    for bad in ["/", "/srv/..", "/srv/./x", "/../srv", "/srv\0"] {
        assert_eq!(check_folder(bad), Err(FolderProblem::Indirect), "{bad}");
    }
    assert!(is_table_name("restored_2026") && is_table_name("_x"));
    for bad in ["", "2x", "X", "a b", "a\"", "é", &"a".repeat(64)] {
        assert!(!is_table_name(bad), "{bad}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        number in any::<i32>(),
        text in any::<String>(),
        json in "[1-9][0-9]{0,299}",
        is_odd in any::<bool>(),
        present in proptest::array::uniform4(any::<bool>()),
    ) {
        let number = number.to_string();
        let document = format!("[{json}, \"{}\"]", "ü");
        let cells = [
            None,
            present[0].then_some(number.as_str()),
            present[1].then_some(if is_odd { "t" } else { "f" }),
            present[2].then_some(text.as_str()),
            present[3].then_some(document.as_str()),
        ];
        let written = line(&cells);
        prop_assert_eq!(written.matches('\n').count(), 1);
        let columns = columns();
        let read = read_line(written.trim_end_matches('\n'), &columns).unwrap();
        for (place, (read, cell)) in read.iter().zip(cells).enumerate() {
            // A boolean is read as its long name, which the server takes as well.
            let expected = match (place, cell) {
                (2, Some("t")) => Some("true"),
                (2, Some(_)) => Some("false"),
                (_, cell) => cell,
            };
            prop_assert_eq!(read.as_deref(), expected);
        }
    }

    #[test]
    fn no_flipped_bit_and_no_cut_goes_unseen(
        lines in proptest::collection::vec("[a-z ]{0,40}\n", 1..30),
        place in any::<prop::sample::Index>(),
        bit in 0u8..8,
        is_cut in any::<bool>(),
    ) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (manifest, mut bytes) = manifest_of(&lines);
        let place = place.index(bytes.len());
        if is_cut {
            bytes.truncate(place);
        } else {
            bytes[place] ^= 1 << bit;
        }
        prop_assert!(read(&manifest, &bytes).is_err());
    }
}
