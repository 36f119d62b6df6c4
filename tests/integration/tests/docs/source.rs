//! The texts of errors, read from the source code that raises them.

use std::path::{Path, PathBuf};

/// How an expression begins that refuses something.
const REFUSALS: [&str; 4] = [
    "Error::invalid(",
    "Error::Invalid {",
    "Error::Denied {",
    "Error::Unknown {",
];

/// Every Rust file below a folder but those of the errors themselves.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !folder.ends_with("src/error")
        {
            found.push(path);
        }
    }
    found
}

/// The body of a function, from brace to brace.
pub fn body_of<'s>(source: &'s str, name: &str) -> &'s str {
    let at = source.find(name);
    let at = at.unwrap_or_else(|| panic!("there is no {name}"));
    let opening = at + source[at..].find(" {\n").unwrap() + 1;
    enclosed(&source[opening..])
}

/// The texts of every expression that refuses something.
pub fn refusals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for beginning in REFUSALS {
        for (at, _) in source.match_indices(beginning) {
            found.extend(texts(enclosed(&source[at + beginning.len() - 1..])));
        }
    }
    found
}

/// From the bracket that `source` begins with to the one that closes it.
fn enclosed(source: &str) -> &str {
    let mut depth = 0;
    let mut rest = source;
    while let Some(letter) = rest.chars().next() {
        match letter {
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            '"' => rest = after_literal(rest).1,
            _ => {}
        }
        if letter != '"' {
            rest = &rest[letter.len_utf8()..];
        }
        if depth == 0 {
            break;
        }
    }
    &source[..source.len() - rest.len()]
}

/// The content of the literal that `source` begins with, and what follows it.
fn after_literal(source: &str) -> (String, &str) {
    let mut content = String::new();
    let mut rest = &source[1..];
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        match letter {
            '"' => break,
            '\\' if rest.starts_with('\n') => rest = rest.trim_start(),
            '\\' => {
                content.extend(rest.chars().next());
                rest = &rest[1..];
            }
            letter => content.push(letter),
        }
    }
    (content, rest)
}

/// Every string literal.
pub fn texts(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(quote) = rest.find('"') {
        let (content, after) = after_literal(&rest[quote..]);
        found.push(content);
        rest = after;
    }
    found
}

/// Every string literal with the name of the error code that stands before it.
pub fn coded_texts(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in source.split("ERRCODE_").skip(1) {
        let code: String = part
            .chars()
            .take_while(|letter| letter.is_ascii_uppercase() || *letter == '_')
            .collect();
        found.extend(texts(part).into_iter().map(|text| (code.clone(), text)));
    }
    found
}

/// The SQLSTATE of an error code, by the name it has in the server.
pub fn sqlstate(code: &str) -> &'static str {
    match code {
        "OBJECT_NOT_IN_PREREQUISITE_STATE" => "55000",
        "NULL_VALUE_NOT_ALLOWED" => "22004",
        "INVALID_PARAMETER_VALUE" => "22023",
        "STRING_DATA_RIGHT_TRUNCATION" => "22001",
        "UNDEFINED_OBJECT" => "42704",
        "CHECK_VIOLATION" => "23514",
        "INSUFFICIENT_PRIVILEGE" => "42501",
        "CONFIG_FILE_ERROR" => "F0000",
        "FEATURE_NOT_SUPPORTED" => "0A000",
        "INSUFFICIENT_RESOURCES" => "53000",
        "PROGRAM_LIMIT_EXCEEDED" => "54000",
        "T_R_STATEMENT_COMPLETION_UNKNOWN" => "40003",
        "INVALID_TRANSACTION_STATE" => "25000",
        "DATA_CORRUPTED" => "XX001",
        "UNDEFINED_FILE" => "58P01",
        "DISK_FULL" => "53100",
        "IO_ERROR" => "58030",
        "DUPLICATE_TABLE" => "42P07",
        "E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED" => "39P03",
        "E_R_I_E_TRIGGER_PROTOCOL_VIOLATED" => "39P01",
        "WRONG_OBJECT_TYPE" => "42809",
        "UNDEFINED_COLUMN" => "42703",
        "DUPLICATE_OBJECT" => "42710",
        "DATATYPE_MISMATCH" => "42804",
        "INVALID_OBJECT_DEFINITION" => "42P17",
        "INVALID_TRANSACTION_TERMINATION" => "2D000",
        "INTERNAL_ERROR" => "XX000",
        "LOCK_NOT_AVAILABLE" => "55P03",
        "SUCCESSFUL_COMPLETION" => "00000",
        other => panic!("add the SQLSTATE of ERRCODE_{other}"),
    }
}

/// The text with every placeholder alike, whatever it is called.
pub fn skeleton(text: &str, opening: char, closing: char) -> String {
    let mut parts = text.split(opening);
    let mut skeleton = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        skeleton.push('…');
        skeleton.push_str(part.split_once(closing).map_or(part, |(_, after)| after));
    }
    skeleton
}

/// Whether a text stands on a page, with anything for its placeholders.
pub fn is_found(page: &str, text: &str) -> bool {
    let skeleton = skeleton(text, '{', '}');
    page.lines().any(|line| {
        let mut rest = Some(line);
        for part in skeleton.split('…') {
            rest = rest.and_then(|rest| Some(&rest[rest.find(part)? + part.len()..]));
        }
        rest.is_some()
    })
}
