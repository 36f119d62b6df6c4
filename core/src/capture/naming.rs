//! What events call a captured table, and which actions its changes are.

use crate::registry::action::{MAX_ACTION_BYTES, NameProblem, check_action_name, is_reserved};

/// The last segments of the actions that a captured table has, after its prefix.
pub const VERBS: [&str; 4] = ["created", "updated", "deleted", "truncated"];

/// Longest prefix to which every verb can be added.
const MAX_PREFIX_BYTES: usize = MAX_ACTION_BYTES - ".truncated".len();

/// Why a text is no prefix of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixProblem {
    /// `<prefix>.truncated` is no action name.
    Name(NameProblem),
    /// The namespace is the log's own.
    Reserved,
}

/// Checks that `<prefix>.created` and the others are actions that an application may have.
///
/// # Errors
/// The first problem found.
pub fn check_prefix(prefix: &str) -> Result<(), PrefixProblem> {
    check_action_name(&format!("{prefix}.truncated")).map_err(PrefixProblem::Name)?;
    if is_reserved(prefix) {
        return Err(PrefixProblem::Reserved);
    }
    Ok(())
}

/// The four actions of a table with this prefix.
#[must_use]
pub fn actions(prefix: &str) -> [String; 4] {
    VERBS.map(|verb| format!("{prefix}.{verb}"))
}

/// The prefix that a table gets if none is given: its object type in lower snake case, where a
/// dot between schema and table stays. Always valid, whatever the name.
#[must_use]
pub fn default_prefix(object_type: &str) -> String {
    let segments: Vec<String> = object_type.split('.').map(segment).collect();
    let mut prefix = segments.join(".");
    prefix.truncate(MAX_PREFIX_BYTES);
    while prefix.ends_with('.') {
        prefix.pop();
    }
    if is_reserved(&prefix) {
        prefix = format!("table_{prefix}");
        prefix.truncate(MAX_PREFIX_BYTES);
    }
    prefix
}

/// One segment: lower-case letters, digits and underscores, with a letter at its start.
fn segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    let mut after_lower = false;
    for character in name.chars() {
        if character.is_ascii_uppercase() && after_lower {
            segment.push('_');
        }
        after_lower = character.is_ascii_lowercase() || character.is_ascii_digit();
        segment.push(match character.to_ascii_lowercase() {
            allowed @ ('a'..='z' | '0'..='9' | '_') => allowed,
            _ => '_',
        });
    }
    if segment.starts_with(|first: char| first.is_ascii_lowercase()) {
        segment
    } else {
        format!("t_{segment}")
    }
}

/// What the table is called in events: its name, with the schema where another captured table has
/// the name already, and with a number where that is taken as well.
#[must_use]
pub fn object_type(schema: &str, table: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let qualified = format!("{schema}.{table}");
    let plain = [table.to_owned(), qualified.clone()];
    let numbered = (2..).map(|number: u32| format!("{qualified}.{number}"));
    plain
        .into_iter()
        .chain(numbered)
        .find(|name| !is_taken(name))
        .unwrap_or(qualified)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prefixes_read_like_the_tables_they_are_of() {
        for (object_type, prefix) in [
            ("orders", "orders"),
            ("InvoiceLine", "invoice_line"),
            ("sales.Order Items", "sales.order_items"),
            ("2fa", "t_2fa"),
            ("_hidden", "t__hidden"),
            ("größe", "gr__e"),
            ("HTTPLog", "httplog"),
            ("activity", "table_activity"),
            ("activity.log", "table_activity.log"),
            ("", "t_"),
        ] {
            assert_eq!(default_prefix(object_type), prefix);
        }
    }

    #[test]
    fn the_log_s_own_namespace_and_bad_names_are_no_prefixes() {
        assert_eq!(check_prefix("activity"), Err(PrefixProblem::Reserved));
        assert_eq!(
            check_prefix("activity.orders"),
            Err(PrefixProblem::Reserved)
        );
        assert!(matches!(
            check_prefix("Orders"),
            Err(PrefixProblem::Name(_))
        ));
        assert!(matches!(check_prefix(""), Err(PrefixProblem::Name(_))));
        assert!(matches!(
            check_prefix(&"a".repeat(91)),
            Err(PrefixProblem::Name(NameProblem::TooLong))
        ));
        assert_eq!(check_prefix(&"a".repeat(90)), Ok(()));
    }

    #[test]
    fn a_name_that_is_taken_gets_its_schema_and_then_a_number() {
        let taken = |names: &'static [&'static str]| move |name: &str| names.contains(&name);
        assert_eq!(object_type("s", "t", taken(&[])), "t");
        assert_eq!(object_type("s", "t", taken(&["t"])), "s.t");
        assert_eq!(
            object_type("s", "t", taken(&["t", "s.t", "s.t.2"])),
            "s.t.3"
        );
    }

    proptest! {
        #[test]
        fn any_table_gets_valid_actions(schema in "\\PC{0,63}", table in "\\PC{0,63}") {
            for name in [table.clone(), format!("{schema}.{table}")] {
                let prefix = default_prefix(&name);
                prop_assert_eq!(check_prefix(&prefix), Ok(()), "{}", prefix);
                for action in actions(&prefix) {
                    prop_assert_eq!(check_action_name(&action), Ok(()));
                }
            }
        }
    }
}
