//! The documentation runs, and says what the code says.
//!
//! Every block of README.md and docs/*.md that is fenced as `sql` is executed by psql, each page
//! from top to bottom in one session of the superuser, in a database of its own where the
//! extension is set up. `<!-- test: fresh -->` on a line of its own begins a new database, without
//! the extension. A block fenced as `sql error=23514` must raise exactly one error, with that
//! SQLSTATE. A comment behind a statement, six spaces after the semicolon, must begin with the
//! statement's result. Blocks in other fences are not run.

use activity_log_integration::{Cluster, Database, Options};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

#[path = "docs/markdown.rs"]
mod markdown;
#[path = "docs/source.rs"]
mod source;

use markdown::{Announced, Section, Start};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// README.md, CONTRIBUTING.md, SECURITY.md, CHANGELOG.md and every page of docs, from the root.
fn pages() -> Vec<PathBuf> {
    let of = |folder: &str| {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        let pages = entries.map(|entry| Path::new(folder).join(entry.unwrap().file_name()));
        pages
            .filter(|page| page.extension().is_some_and(|extension| extension == "md"))
            .collect::<Vec<_>>()
    };
    let mut pages = [of(""), of("docs")].concat();
    pages.sort();
    pages
}

#[test]
fn every_example_does_what_its_page_says() {
    let cluster = Cluster::shared();
    // The roles are there before a page creates the extension itself.
    let _ = cluster.database_before_setup();
    let mut problems = String::new();
    let mut blocks = 0;
    for page in pages() {
        let sections = markdown::sections(&read(&page));
        for section in sections.unwrap_or_else(|problem| panic!("{}: {problem}", page.display())) {
            blocks += section.blocks;
            if let Err(problem) = run(cluster, &section) {
                writeln!(problems, "{}: {problem}", page.display()).unwrap();
            }
        }
    }
    assert!(problems.is_empty(), "\n{problems}");
    assert!(blocks > 80, "only {blocks} blocks were found");
}

fn run(cluster: &Cluster, section: &Section) -> Result<(), String> {
    let database = match section.start {
        Start::SetUp => cluster.database(),
        Start::Fresh => cluster.empty_database(),
    };
    let output = psql(&database, &section.script);
    clear_up(&database);
    check_errors(&output, section)?;
    check_results(&String::from_utf8_lossy(&output.stdout), section)
}

/// Runs a script whose lines have the numbers of the page's.
fn psql(database: &Database<'_>, script: &str) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let mut psql = database.program("psql");
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
        .args(["-v", "VERBOSITY=verbose", "-f"])
        .arg(file.path());
    psql.output().unwrap()
}

/// Removes the database and the roles that a page has made, so that the next may use their names.
fn clear_up(database: &Database<'_>) {
    let other = database.cluster().existing_database("postgres");
    let mut session = other.superuser();
    let drop = format!("DROP DATABASE {} WITH (FORCE)", database.name());
    session.batch_execute(&drop).unwrap();
    let roles = session.texts(
        r"SELECT format('DROP ROLE %I', rolname) FROM pg_roles
          WHERE rolname !~ '^(pg_|activity_|postgres$)'",
    );
    for drop in roles {
        session.batch_execute(&drop).unwrap();
    }
}

/// The errors that psql has reported must be those that the section announces, in their order.
fn check_errors(output: &Output, section: &Section) -> Result<(), String> {
    let printed = String::from_utf8_lossy(&output.stderr);
    let raised: Vec<(usize, &str)> = printed.lines().filter_map(raised_error).collect();
    let mut left = raised.iter();
    for expected in &section.errors {
        match left.next() {
            Some((line, code)) if expected.lines.contains(line) && *code == expected.sqlstate => {}
            other => {
                let lines = &expected.lines;
                return Err(format!(
                    "lines {} to {} should raise {}, but there is {other:?}\n{printed}",
                    lines.start(),
                    lines.end(),
                    expected.sqlstate
                ));
            }
        }
    }
    match left.next() {
        None if output.status.success() => Ok(()),
        unexpected => Err(format!("unexpected {unexpected:?}\n{printed}")),
    }
}

/// Each comment behind a statement must begin with the statement's result.
fn check_results(printed: &str, section: &Section) -> Result<(), String> {
    let lines: Vec<&str> = printed.lines().collect();
    for announced in &section.results {
        let Announced { marker, comment } = announced;
        let end = lines.iter().position(|line| line == marker);
        let end = end.ok_or_else(|| format!("there is no marker {marker}"))?;
        let result = end.checked_sub(1).map_or("", |before| lines[before]);
        let is_result = comment
            .strip_prefix(result)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(": "));
        if !is_result {
            return Err(format!(
                "{marker} announces {comment}, but the result is {result}"
            ));
        }
    }
    Ok(())
}

/// Line and SQLSTATE of `psql:file:12: ERROR:  42704: ...`.
fn raised_error(line: &str) -> Option<(usize, &str)> {
    let (place, report) = line.split_once(": ERROR:  ")?;
    let (_, number) = place.rsplit_once(':')?;
    Some((number.parse().ok()?, report.get(..5)?))
}

#[test]
fn the_quick_start_is_also_one_file_that_runs() {
    let file = read("examples/quickstart.sql");
    let readme = read("README.md");
    let quick_start = markdown::part(&readme, "## Quick start");
    let blocks = markdown::blocks(quick_start, "sql");
    assert!(blocks.len() >= 5, "the quick start has few blocks");
    for block in blocks {
        assert!(
            file.contains(block),
            "examples/quickstart.sql lacks\n{block}"
        );
    }

    // The pages that run at the same time make roles of the same names.
    let cluster = Cluster::start(&Options::default());
    let output = psql(&cluster.empty_database(), &file);
    let printed = String::from_utf8_lossy(&output.stderr);
    let raised: Vec<&str> = printed
        .lines()
        .filter_map(|l| Some(raised_error(l)?.1))
        .collect();
    assert!(output.status.success(), "{printed}");
    assert_eq!(raised, ["23514"], "{printed}");
}

#[test]
fn every_public_function_is_documented() {
    let texts: Vec<String> = pages().iter().map(read).collect();
    let functions = Cluster::shared().database().superuser().texts(
        r"SELECT DISTINCT proname::text FROM pg_proc
          WHERE pronamespace = 'activity'::regnamespace AND proname !~ '^_'",
    );
    assert!(functions.len() > 15, "{functions:?}");
    let is_documented = |name: &String| texts.iter().any(|text| mentions_call(text, name));
    let missing: Vec<&String> = functions
        .iter()
        .filter(|name| !is_documented(name))
        .collect();
    assert!(missing.is_empty(), "no page mentions {missing:?}");
}

/// Whether `name(` stands in the text as a whole word.
fn mentions_call(text: &str, name: &str) -> bool {
    text.match_indices(&format!("{name}(")).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        before.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_')
    })
}

#[test]
fn the_page_of_settings_lists_what_the_server_has() {
    let page = read("docs/settings.md");
    let documented: BTreeSet<String> = markdown::rows(&page)
        .into_iter()
        .filter(|cells| cells[0].starts_with("[`activity."))
        .map(|cells| {
            let name = cells[0].trim_start_matches("[`").split('`').next().unwrap();
            let default = cells[1].trim_matches('`').replace("empty", "");
            format!("{name}|{default}|{}", cells[2])
        })
        .collect();
    let existing: BTreeSet<String> = Cluster::shared()
        .database()
        .superuser()
        .texts(
            "SELECT name || '|' || coalesce(boot_val, '') || '|' || CASE context
                 WHEN 'user' THEN 'everybody' WHEN 'superuser' THEN 'superusers'
                 WHEN 'postmaster' THEN 'server start' WHEN 'sighup' THEN 'reload' ELSE context END
             FROM pg_settings WHERE name LIKE 'activity.%'",
        )
        .into_iter()
        .collect();
    assert_eq!(documented, existing);
    for setting in existing {
        let name = setting.split('|').next().unwrap();
        let part = markdown::part(&page, &format!("### {name}"));
        assert!(
            part.contains("Default:"),
            "{name} has no default at its end"
        );
    }
}

#[test]
fn every_error_has_a_row() {
    let page = read("docs/errors.md");
    let rows = markdown::rows(&page);
    let headlines = read("src/error/headline.rs");
    let headlines = source::coded_texts(source::body_of(&headlines, "fn headline"));
    assert!(headlines.len() > 10, "{headlines:?}");
    for (code, text) in headlines {
        let skeleton = source::skeleton(&text, '{', '}');
        let row = rows.iter().find(|cells| {
            let message = cells.get(1).map_or("", |cell| cell.trim_matches('`'));
            source::skeleton(message, '‹', '›') == skeleton
        });
        let row = row.unwrap_or_else(|| panic!("docs/errors.md has no row for {text}"));
        let is_code = row[0].len() == 5;
        assert!(
            !is_code || row[0] == source::sqlstate(&code),
            "{code}: {row:?}"
        );
    }
    for hint in source::texts(source::body_of(&read("src/error/advice.rs"), "fn hint")) {
        assert!(
            source::is_found(&page, &hint),
            "docs/errors.md lacks the hint {hint}"
        );
    }
}

#[test]
fn every_refused_value_has_a_row() {
    let page = read("docs/errors.md");
    let mut texts = source::texts(source::body_of(&read("src/access.rs"), "fn tenant_problem"));
    for file in source::files(&root().join("src")) {
        let code = std::fs::read_to_string(file).unwrap();
        texts.extend(source::refusals(&code));
    }
    assert!(texts.len() > 30, "{texts:?}");
    let is_sentence = |text: &&String| text.contains(' ');
    for text in texts.iter().filter(is_sentence) {
        assert!(
            source::is_found(&page, text),
            "docs/errors.md lacks: {text}"
        );
    }
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        let text = read(&page);
        for link in markdown::links(&text) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => root().join(&page),
                path => root().join(&page).parent().unwrap().join(path),
            };
            assert!(target.exists(), "{}: {link}", page.display());
            if !anchor.is_empty() {
                let anchors = markdown::anchors(&std::fs::read_to_string(target).unwrap());
                assert!(anchors.contains(anchor), "{}: {link}", page.display());
            }
        }
    }
}
