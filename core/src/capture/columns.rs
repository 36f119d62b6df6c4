//! What became of a table's columns since somebody last looked.

use std::collections::BTreeMap;

/// A column as it is in the catalog; its number stays the same through renames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its number in the table.
    pub number: i16,
    /// Its name now.
    pub name: String,
    /// Its type, as SQL writes it.
    pub kind: String,
}

/// How the columns differ from those of the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Names of new columns.
    pub added: Vec<String>,
    /// Names of columns that are gone, as they were.
    pub dropped: Vec<String>,
    /// Old and new names.
    pub renamed: Vec<(String, String)>,
    /// Columns with another type: name now, type before, type now.
    pub retyped: Vec<(String, String, String)>,
}

impl Change {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Compares the columns of the last look with those of now.
    #[must_use]
    pub fn between(before: &[Column], now: &[Column]) -> Self {
        let by_number: BTreeMap<i16, &Column> = now.iter().map(|c| (c.number, c)).collect();
        let known: BTreeMap<i16, &Column> = before.iter().map(|c| (c.number, c)).collect();
        let mut change = Self::default();
        for old in before {
            match by_number.get(&old.number) {
                None => change.dropped.push(old.name.clone()),
                Some(new) => {
                    if new.name != old.name {
                        change.renamed.push((old.name.clone(), new.name.clone()));
                    }
                    if new.kind != old.kind {
                        let kinds = (old.kind.clone(), new.kind.clone());
                        change.retyped.push((new.name.clone(), kinds.0, kinds.1));
                    }
                }
            }
        }
        let added = now.iter().filter(|c| !known.contains_key(&c.number));
        change.added = added.map(|c| c.name.clone()).collect();
        change
    }

    /// Takes these columns for retyped as well: their values were converted, perhaps under the
    /// same type.
    pub fn convert(&mut self, now: &[Column], converted: &[String]) {
        for column in now.iter().filter(|c| converted.contains(&c.name)) {
            let is_told = self.added.contains(&column.name)
                || self.retyped.iter().any(|(name, ..)| *name == column.name);
            if !is_told {
                let kind = column.kind.clone();
                self.retyped.push((column.name.clone(), kind.clone(), kind));
            }
        }
    }

    /// The name now of a column that was configured by its old name; `None` if it is gone. A name
    /// that was no column at the last look stays.
    #[must_use]
    pub fn follow(&self, name: &str) -> Option<String> {
        if let Some((_, new)) = self.renamed.iter().find(|(old, _)| old == name) {
            return Some(new.clone());
        }
        (!self.dropped.iter().any(|dropped| dropped == name)).then(|| name.to_owned())
    }

    /// The same for a list of names.
    #[must_use]
    pub fn follow_all(&self, names: &[String]) -> Vec<String> {
        names.iter().filter_map(|name| self.follow(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(number: i16, name: &str, kind: &str) -> Column {
        Column {
            number,
            name: name.into(),
            kind: kind.into(),
        }
    }

    #[test]
    fn columns_that_were_converted_are_told_once() {
        let before = [column(1, "id", "integer"), column(2, "price", "integer")];
        let now = [
            column(1, "id", "bigint"),
            column(2, "price", "integer"),
            column(3, "size", "integer"),
        ];
        let mut change = Change::between(&before, &now);
        change.convert(&now, &["id".into(), "price".into(), "size".into()]);
        assert_eq!(change.added, ["size"]);
        assert_eq!(
            change.retyped,
            [
                ("id".into(), "integer".into(), "bigint".into()),
                ("price".into(), "integer".into(), "integer".into()),
            ]
        );
    }

    #[test]
    fn each_kind_of_change_is_told_from_the_others() {
        let before = [
            column(1, "id", "integer"),
            column(2, "secret", "text"),
            column(3, "old", "text"),
            column(4, "price", "integer"),
        ];
        let now = [
            column(1, "id", "integer"),
            column(2, "password", "text"),
            column(4, "price", "numeric(10,2)"),
            column(5, "secret", "date"),
        ];
        let change = Change::between(&before, &now);
        assert_eq!(change.added, ["secret"]);
        assert_eq!(change.dropped, ["old"]);
        assert_eq!(change.renamed, [("secret".into(), "password".into())]);
        assert_eq!(
            change.retyped,
            [("price".into(), "integer".into(), "numeric(10,2)".into())]
        );
        // What was excluded as "secret" is the column that is called password now.
        let lists = ["secret".to_owned(), "old".into(), "id".into()];
        assert_eq!(change.follow_all(&lists), ["password", "id"]);
    }

    #[test]
    fn two_columns_that_swap_names_are_followed() {
        let change = Change::between(
            &[column(1, "a", "text"), column(2, "b", "text")],
            &[column(1, "b", "text"), column(2, "a", "text")],
        );
        assert_eq!(change.follow("a").as_deref(), Some("b"));
        assert_eq!(change.follow("b").as_deref(), Some("a"));
    }

    proptest! {
        #[test]
        fn a_followed_name_is_the_same_column(
            before in proptest::collection::btree_map(1i16..12, "[a-f]", 0..8),
            now in proptest::collection::btree_map(1i16..12, "[a-f]", 0..8),
        ) {
            let unique = |columns: BTreeMap<i16, String>| {
                let mut seen = std::collections::BTreeSet::new();
                columns.into_iter().filter(|(_, name)| seen.insert(name.clone()))
                    .map(|(number, name)| column(number, &name, "text")).collect::<Vec<_>>()
            };
            let (before, now) = (unique(before), unique(now));
            let change = Change::between(&before, &now);
            for old in &before {
                let expected = now.iter().find(|c| c.number == old.number).map(|c| c.name.clone());
                prop_assert_eq!(change.follow(&old.name), expected);
            }
            prop_assert_eq!(change.is_empty(), before == now);
        }
    }
}
