//! What a client is told when the server refuses.

/// An error as the server sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The five characters of the SQLSTATE.
    pub sqlstate: String,
    /// The message.
    pub message: String,
    /// The detail, empty if there is none.
    pub detail: String,
    /// The hint, empty if there is none.
    pub hint: String,
}

impl Refusal {
    /// Everything that a client can read of it.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}", self.message, self.detail, self.hint)
    }
}

/// The refusal with this SQLSTATE.
///
/// # Panics
/// If there was no error, another one, or one that is not the server's.
#[track_caller]
pub fn expect_error<T>(result: Result<T, postgres::Error>, sqlstate: &str) -> Refusal {
    let error = result
        .err()
        .unwrap_or_else(|| panic!("expected {sqlstate}, but it succeeded"));
    let sent = error
        .as_db_error()
        .unwrap_or_else(|| panic!("not an error of the server: {error}"));
    let refusal = Refusal {
        sqlstate: sent.code().code().to_owned(),
        message: sent.message().to_owned(),
        detail: sent.detail().unwrap_or_default().to_owned(),
        hint: sent.hint().unwrap_or_default().to_owned(),
    };
    assert_eq!(refusal.sqlstate, sqlstate, "{refusal:?}");
    refusal
}
