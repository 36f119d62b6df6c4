use super::*;
use crate::jsonb::{from_json, to_json};
use proptest::prelude::*;
use serde_json::{Map, json};

type Json = serde_json::Value;

fn change(document: &Json) -> Vec<u8> {
    from_json(document).unwrap()
}

fn after(row: Option<Row>, document: &Json) -> Option<Row> {
    let container = change(document);
    let root = Jsonb::new(&container).unwrap().root();
    apply(row, Step::Change(Change::read(root).unwrap())).unwrap()
}

fn told(row: &Row) -> Json {
    let document = row.document(&[]).unwrap();
    serde_json::from_str(&to_json(Jsonb::new(&document).unwrap().root())).unwrap()
}

#[test]
fn a_value_that_is_not_the_row_s_own_is_listed() {
    let row = after(
        None,
        &json!({"new": {
            "id": 1, "secret": "[redacted]", "large": {"$omitted": {"bytes": 5, "sha256": ""}},
            "note": "key [redacted:password:0123456789abcdef] lost", "deep": [{"a": "[redacted:password:0123456789abcdef]"}],
            "plain": "[brackets]",
        }}),
    )
    .unwrap();
    assert_eq!(
        row.inexact().into_iter().collect::<Vec<_>>(),
        ["deep", "large", "note", "secret"]
    );
    assert_eq!(
        told(&row)[INEXACT],
        json!(["deep", "large", "note", "secret"])
    );
}

#[test]
fn after_a_gap_only_what_is_set_again_is_exact() {
    let row = after(None, &json!({"new": {"id": 1, "a": 1, "b": 1}}));
    let row = apply(row, Step::Gap).unwrap();
    let row = after(row, &json!({"old": {"a": 5}, "new": {"a": 6}})).unwrap();
    assert_eq!(
        told(&row),
        json!({"id": 1, "a": 6, "b": 1, INEXACT: ["b", "id"]})
    );
}

#[test]
fn columns_change_with_the_table_s() {
    let change = ColumnChange {
        added: vec!["more".into()],
        dropped: vec!["gone".into()],
        renamed: vec![("a".into(), "b".into()), ("b".into(), "a".into())],
        retyped: vec!["kind".into()],
    };
    let row = after(
        None,
        &json!({"new": {"a": 1, "b": 2, "gone": 3, "kind": 4}}),
    );
    let row = apply(row, Step::Altered(&change)).unwrap().unwrap();
    assert_eq!(
        told(&row),
        json!({"a": 2, "b": 1, "kind": 4, INEXACT: ["kind"]})
    );
    let mut columns = ["a", "b", "kind", "more"].map(String::from).to_vec();
    change.undo(&mut columns);
    assert_eq!(columns, ["b", "a", "kind", "gone"]);
}

#[test]
fn an_update_of_an_unknown_row_gives_what_it_says() {
    let row = after(None, &json!({"old": {"a": 1}, "new": {"a": 2}})).unwrap();
    assert_eq!(told(&row), json!({"a": 2}));
}

#[test]
fn names_of_rows_are_made_of_the_texts_of_values() {
    let container = change(&json!([1, "x", true, null, [1], {"a": 1}]));
    let Value::Array(array) = Jsonb::new(&container).unwrap().root() else {
        panic!("an array")
    };
    let texts: Vec<_> = array.iter().map(key_text).collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        texts,
        [text("1"), text("x"), text("t"), text(""), None, None]
    );
}

/// Something that is done to one row.
#[derive(Debug, Clone)]
enum Work {
    Create(Map<String, Json>),
    Update(Map<String, Json>),
    Delete,
    Truncate,
}

fn values() -> impl Strategy<Value = Map<String, Json>> {
    let value = prop_oneof![
        Just(Json::Null),
        any::<i32>().prop_map(Json::from),
        "[a-z]{0,3}".prop_map(Json::from),
        prop::collection::vec(any::<bool>(), 0..3).prop_map(Json::from),
    ];
    prop::collection::btree_map("[abc]", value, 0..4)
        .prop_map(|columns| columns.into_iter().collect())
}

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![
        2 => values().prop_map(Work::Create),
        6 => values().prop_map(Work::Update),
        1 => Just(Work::Delete),
        1 => Just(Work::Truncate),
    ]
}

/// The row as a table would hold it, and the change as capture would tell it.
fn capture(row: &mut Option<Map<String, Json>>, work: Work) -> Option<Json> {
    let whole = |values: Map<String, Json>| {
        ["a", "b", "c"]
            .map(|c| (c.to_owned(), values.get(c).cloned().unwrap_or(Json::Null)))
            .into_iter()
            .collect::<Map<_, _>>()
    };
    match (work, row.clone()) {
        (Work::Create(values), None) => {
            *row = Some(whole(values));
            Some(json!({"new": row}))
        }
        (Work::Update(values), Some(before)) => {
            let changed: Map<_, _> = values
                .into_iter()
                .filter(|(name, value)| before[name] != *value)
                .collect();
            let old: Map<_, _> = changed
                .keys()
                .map(|name| (name.clone(), before[name].clone()))
                .collect();
            row.as_mut()?.extend(changed.clone());
            (!changed.is_empty()).then(|| json!({"old": old, "new": changed}))
        }
        (Work::Delete, Some(before)) => {
            *row = None;
            Some(json!({"old": before}))
        }
        _ => None,
    }
}

proptest! {
    #[test]
    fn replaying_what_was_captured_gives_the_row_at_every_moment(
        works in prop::collection::vec(work(), 0..40),
    ) {
        let (mut table, mut replayed) = (None, None);
        for work in works {
            if matches!(work, Work::Truncate) {
                table = None;
                replayed = apply(replayed, Step::Truncated).unwrap();
            } else if let Some(document) = capture(&mut table, work) {
                replayed = after(replayed, &document);
            }
            prop_assert_eq!(replayed.as_ref().map(told), table.clone().map(Json::Object));
        }
    }

    #[test]
    fn a_row_from_before_capture_is_told_by_what_comes_after(
        values in values(), works in prop::collection::vec(values().prop_map(Work::Update), 0..12), at in 0usize..12,
    ) {
        let mut table = None;
        capture(&mut table, Work::Create(values));
        let mut moments = vec![table.clone()];
        let mut changes = Vec::new();
        for work in works.into_iter().chain([Work::Delete]) {
            if let Some(document) = capture(&mut table, work) {
                changes.push(document);
                moments.push(table.clone());
            }
        }
        // The last moment is that after the delete.
        let at = at.min(moments.len() - 2);
        let mut row = Row::default();
        for document in &changes[..at] {
            row = after(Some(row), document).unwrap();
        }
        for document in &changes[at..] {
            let container = change(document);
            let root = Jsonb::new(&container).unwrap().root();
            row.fill(Change::read(root).unwrap().before().unwrap()).unwrap();
        }
        prop_assert_eq!(told(&row), Json::Object(moments[at].clone().unwrap()));
    }
}
