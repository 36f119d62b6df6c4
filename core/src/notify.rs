//! The names of the channels on which new events are announced.
//!
//! Postgres lets every role listen to every channel, so a notification carries nothing: it only
//! says that there is something to read.

use std::fmt::Write as _;

/// Rung with every news of any tenant, for readers of all tenants.
pub const ALL_TENANTS: &str = "activity_all_tenants";
/// Rung where it is not known which tenants have news, for everybody.
pub const EVERYBODY: &str = "activity_everybody";

/// The channel of a tenant. It tells whoever sees it no more than the tenant's id.
#[must_use]
pub fn channel(tenant_id: &[u8; 16]) -> String {
    let mut name = String::with_capacity(41);
    name.push_str("activity_");
    for byte in tenant_id {
        // Writing to a string can't fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_plain_identifier(name: &str) -> bool {
        name.len() <= 63
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    }

    #[test]
    fn the_common_channels_need_no_quotes() {
        assert!(is_plain_identifier(ALL_TENANTS) && is_plain_identifier(EVERYBODY));
    }

    proptest! {
        #[test]
        fn a_channel_needs_no_quotes_and_is_one_tenants(one: [u8; 16], other: [u8; 16]) {
            prop_assert!(is_plain_identifier(&channel(&one)));
            prop_assert_eq!(one == other, channel(&one) == channel(&other));
            prop_assert!(![ALL_TENANTS, EVERYBODY].contains(&channel(&one).as_str()));
        }
    }
}
