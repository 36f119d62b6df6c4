//! The grammar of action names and of the patterns that select them.

use std::fmt;

/// Longest action name, in bytes.
pub const MAX_ACTION_BYTES: usize = 100;

/// The namespace of the events that the extension records about itself.
pub const RESERVED_NAMESPACE: &str = "activity";

/// Why a text is no action name. Its `Display` never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameProblem {
    /// Nothing was given.
    Empty,
    /// Longer than [`MAX_ACTION_BYTES`].
    TooLong,
    /// Only a namespace: a noun must follow.
    SingleSegment,
    /// A dot at the start or the end, or two in a row.
    EmptySegment,
    /// A segment that starts with anything but a lower-case letter.
    BadStart,
    /// A character other than a lower-case letter, a digit, an underscore or a dot.
    BadCharacter,
}

impl fmt::Display for NameProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "action name is empty",
            Self::TooLong => "action name is longer than 100 bytes",
            Self::SingleSegment => "action name has no dot: it must be namespace.noun[.verb...]",
            Self::EmptySegment => "action name has an empty segment",
            Self::BadStart => "action name has a segment that does not start with a letter a-z",
            Self::BadCharacter => {
                "action name has a character other than a-z, 0-9, underscore and dot"
            }
        })
    }
}

impl std::error::Error for NameProblem {}

/// Checks `namespace.noun[.verb...]`: two or more segments `[a-z][a-z0-9_]*`, at most
/// [`MAX_ACTION_BYTES`] bytes.
///
/// # Errors
/// The first problem found.
pub fn check_action_name(name: &str) -> Result<(), NameProblem> {
    check_segments(name)?;
    if name.contains('.') {
        Ok(())
    } else {
        Err(NameProblem::SingleSegment)
    }
}

/// Whether `name` lies in the namespace of the extension's own events.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.split('.').next() == Some(RESERVED_NAMESPACE)
}

fn check_segments(name: &str) -> Result<(), NameProblem> {
    if name.is_empty() {
        return Err(NameProblem::Empty);
    }
    if name.len() > MAX_ACTION_BYTES {
        return Err(NameProblem::TooLong);
    }
    name.split('.').try_for_each(check_segment)
}

fn check_segment(segment: &str) -> Result<(), NameProblem> {
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    match segment.as_bytes() {
        [] => Err(NameProblem::EmptySegment),
        bytes if !bytes.iter().copied().all(is_allowed) => Err(NameProblem::BadCharacter),
        [b'a'..=b'z', ..] => Ok(()),
        _ => Err(NameProblem::BadStart),
    }
}

/// Selects one action (`auth.login`) or everything below a prefix (`auth.*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionPattern {
    /// This action only.
    Exact(String),
    /// Every action that starts with this text, which ends in a dot.
    Prefix(String),
}

impl ActionPattern {
    /// Reads a pattern. `auth.*` and `auth.login.*` are prefixes; `*` elsewhere is refused.
    ///
    /// # Errors
    /// The problem of the name or of the prefix.
    pub fn parse(text: &str) -> Result<Self, NameProblem> {
        match text.strip_suffix(".*") {
            Some(prefix) => {
                check_segments(prefix)?;
                Ok(Self::Prefix(format!("{prefix}.")))
            }
            None => {
                check_action_name(text)?;
                Ok(Self::Exact(text.to_owned()))
            }
        }
    }

    /// Whether the pattern selects `action`.
    #[must_use]
    pub fn matches(&self, action: &str) -> bool {
        match self {
            Self::Exact(name) => action == name,
            Self::Prefix(prefix) => action.starts_with(prefix.as_str()),
        }
    }

    /// The least text selected, in the "C" collation, inclusive.
    #[must_use]
    pub fn lower_bound(&self) -> &str {
        match self {
            Self::Exact(name) | Self::Prefix(name) => name,
        }
    }

    /// The text that ends the range of a prefix, in the "C" collation, exclusive: `auth/` for
    /// `auth.*`, since `/` follows `.` in ASCII. `None` for an exact pattern, which is compared
    /// for equality with its lower bound.
    #[must_use]
    pub fn upper_bound(&self) -> Option<String> {
        match self {
            Self::Exact(_) => None,
            Self::Prefix(prefix) => Some(format!("{}/", prefix.trim_end_matches('.'))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_two_and_more_segments_are_accepted() {
        for name in ["auth.login", "auth.login.success", "a.b", "a1_.b_2.c"] {
            assert_eq!(check_action_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn each_mistake_in_a_name_has_its_own_problem() {
        let long = format!("a.{}", "b".repeat(MAX_ACTION_BYTES));
        for (name, problem) in [
            ("", NameProblem::Empty),
            (long.as_str(), NameProblem::TooLong),
            ("auth", NameProblem::SingleSegment),
            ("auth.", NameProblem::EmptySegment),
            (".login", NameProblem::EmptySegment),
            ("auth..login", NameProblem::EmptySegment),
            ("auth.1login", NameProblem::BadStart),
            ("auth._login", NameProblem::BadStart),
            ("auth.Login", NameProblem::BadCharacter),
            ("auth.log-in", NameProblem::BadCharacter),
            ("auth.größe", NameProblem::BadCharacter),
            ("auth.login ", NameProblem::BadCharacter),
            ("auth.login\n", NameProblem::BadCharacter),
        ] {
            assert_eq!(check_action_name(name), Err(problem), "{name}");
        }
    }

    #[test]
    fn a_name_of_exactly_the_limit_is_accepted() {
        let name = format!("a.{}", "b".repeat(MAX_ACTION_BYTES - 2));
        assert_eq!(check_action_name(&name), Ok(()));
    }

    #[test]
    fn only_the_namespace_activity_is_reserved() {
        assert!(is_reserved("activity.policy.changed"));
        assert!(!is_reserved("activity_log.changed"));
        assert!(!is_reserved("user.activity"));
    }

    #[test]
    fn a_star_is_a_pattern_only_after_the_last_dot() {
        for text in ["*", ".*", "auth*", "*.login", "auth.*.login", "auth.*.*"] {
            assert!(ActionPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_bounds_of_a_prefix_hold_its_actions_and_no_others() {
        let pattern = ActionPattern::parse("auth.*").unwrap();
        let upper = pattern.upper_bound().unwrap();
        assert_eq!((pattern.lower_bound(), upper.as_str()), ("auth.", "auth/"));
        assert!(!pattern.matches("auth"));
        assert!(!pattern.matches("auth_x.login"));
    }

    proptest! {
        #[test]
        fn a_prefix_selects_exactly_what_lies_between_its_bounds(
            prefix in "[a-b][a-b0_]{0,2}(\\.[a-b]{1,2})?",
            name in "[a-b][a-b0_]{0,2}(\\.[a-b][a-b0_]{0,2}){1,3}",
        ) {
            let pattern = ActionPattern::parse(&format!("{prefix}.*")).unwrap();
            let upper = pattern.upper_bound().unwrap();
            let inside = pattern.lower_bound() <= name.as_str() && name < upper;
            prop_assert_eq!(pattern.matches(&name), inside);
        }

        #[test]
        fn no_text_makes_the_check_panic_or_show_up_in_its_problem(text in "\\PC{20,150}") {
            if let Err(problem) = check_action_name(&text) {
                prop_assert!(!problem.to_string().contains(&text));
            }
            let _ = ActionPattern::parse(&text);
        }
    }
}
