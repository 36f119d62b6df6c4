//! Quoting for SQL, after the rules of the server's `quote_ident` and `quote_literal`.

/// Keywords that can't stand as a name unquoted, of PostgreSQL 14 to 18.
const KEYWORDS: &str = " all analyse analyze and any array as asc asymmetric authorization between \
    bigint binary bit boolean both case cast char character check coalesce collate collation \
    column concurrently constraint create cross current_catalog current_date current_role \
    current_schema current_time current_timestamp current_user dec decimal default deferrable \
    desc distinct do else end except exists extract false fetch float for foreign freeze from \
    full grant greatest group grouping having ilike in initially inner inout int integer \
    intersect interval into is isnull join json json_array json_arrayagg json_exists json_object \
    json_objectagg json_query json_scalar json_serialize json_table json_value lateral leading \
    least left like limit localtime localtimestamp merge_action national natural nchar none \
    normalize not notnull null nullif numeric offset on only or order out outer overlaps overlay \
    placing position precision primary real references returning right row select session_user \
    setof similar smallint some substring symmetric system_user table tablesample then time \
    timestamp to trailing treat trim true union unique user using values varchar variadic \
    verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest \
    xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable ";

/// A name as SQL writes it, quoted where it must be.
pub(super) fn identifier(name: &str) -> String {
    if is_plain(name) && !KEYWORDS.contains(&format!(" {name} ")) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

fn is_plain(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    match name.as_bytes() {
        [first, rest @ ..] => {
            is_letter(*first)
                && rest
                    .iter()
                    .all(|byte| is_letter(*byte) || byte.is_ascii_digit())
        }
        [] => false,
    }
}

/// A text as a constant that means the same whatever `standard_conforming_strings` is.
pub(super) fn literal(text: &str) -> String {
    let prefix = if text.contains('\\') { "E" } else { "" };
    format!(
        "{prefix}'{}'",
        text.replace('\\', r"\\").replace('\'', "''")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_only_where_it_must_be() {
        for (name, quoted) in [
            ("email", "email"),
            ("_x1", "_x1"),
            ("user", "\"user\""),
            ("Email", "\"Email\""),
            ("1st", "\"1st\""),
            ("a b", "\"a b\""),
            ("a\"b", "\"a\"\"b\""),
            ("größe", "\"größe\""),
        ] {
            assert_eq!(identifier(name), quoted);
        }
    }

    #[test]
    fn a_backslash_makes_an_escape_string() {
        assert_eq!(literal("it's $1 $$"), "'it''s $1 $$'");
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
    }
}
