//! Typed wrappers: what is printed, and that nothing of a schema gets out of its quotes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test panics"
)]

use activity_log_core::registry::action::NameProblem;
use activity_log_core::registry::wrapper::{WrapperProblem, wrapper_sql};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn wrapper(properties: Value, required: &[&str]) -> String {
    let schema = json!({"type": "object", "properties": properties, "required": required});
    wrapper_sql("auth.login", None, &schema).expect("a wrapper")
}

/// The lines that declare arguments, without the context.
fn own_arguments(sql: &str) -> Vec<&str> {
    let lines = sql
        .lines()
        .skip(1)
        .map(|line| line.trim().trim_end_matches(','));
    lines
        .take_while(|line| *line != "tenant_id uuid DEFAULT NULL")
        .collect()
}

/// Takes quoted parts away as the server's lexer does: `(rest, names, constants)`.
fn unquoted(sql: &str) -> (String, Vec<String>, Vec<String>) {
    let (mut rest, mut names, mut constants) = (String::new(), Vec::new(), Vec::new());
    let mut chars = sql.chars().peekable();
    while let Some(quote) = chars.next() {
        if quote != '"' && quote != '\'' {
            rest.push(quote);
            continue;
        }
        let escapes = quote == '\'' && rest.pop_if_escape_prefix();
        let mut text = String::new();
        loop {
            match chars.next().expect("a closing quote") {
                '\\' if escapes => text.push(chars.next().unwrap()),
                '\\' if quote == '\'' => panic!("a backslash in a plain constant"),
                found if found == quote => {
                    if chars.next_if_eq(&quote).is_none() {
                        break;
                    }
                    text.push(quote);
                }
                other => text.push(other),
            }
        }
        if quote == '"' {
            names.push(text)
        } else {
            constants.push(text)
        }
    }
    (rest, names, constants)
}

trait EscapePrefix {
    fn pop_if_escape_prefix(&mut self) -> bool;
}

impl EscapePrefix for String {
    fn pop_if_escape_prefix(&mut self) -> bool {
        let is_escape = self.ends_with('E');
        if is_escape {
            self.pop();
        }
        is_escape
    }
}

#[test]
fn a_wrapper_reads_as_a_person_would_write_it() {
    let schema = json!({
        "properties": {"method": {"enum": ["password", "sso"]}, "mfa": {"type": "boolean"}},
        "required": ["method"],
    });
    let sql = wrapper_sql("auth.login.success", Some("Somebody's login"), &schema).unwrap();
    assert_eq!(
        sql,
        "CREATE FUNCTION record_auth_login_success(
    method text,
    mfa boolean DEFAULT NULL,
    tenant_id uuid DEFAULT NULL,
    actor_id text DEFAULT NULL,
    actor_type text DEFAULT NULL,
    object_type text DEFAULT NULL,
    object_id text DEFAULT NULL,
    status text DEFAULT 'success',
    client_ip inet DEFAULT NULL,
    user_agent text DEFAULT NULL,
    request_id text DEFAULT NULL,
    occurred_at timestamptz DEFAULT NULL,
    idempotency_key text DEFAULT NULL
) RETURNS uuid LANGUAGE sql VOLATILE
AS '
  SELECT activity.record(
    action => ''auth.login.success'',
    metadata => (SELECT COALESCE(pg_catalog.jsonb_object_agg(given.name, given.value)
        FILTER (WHERE given.value IS NOT NULL), ''{}'')
      FROM (VALUES
        (''method'', pg_catalog.to_jsonb($1)),
        (''mfa'', pg_catalog.to_jsonb($2))
      ) AS given(name, value)),
    tenant_id => $3,
    actor_id => $4,
    actor_type => $5,
    object_type => $6,
    object_id => $7,
    status => $8,
    client_ip => $9,
    user_agent => $10,
    request_id => $11,
    occurred_at => $12,
    idempotency_key => $13)
';
COMMENT ON FUNCTION record_auth_login_success(text, boolean, uuid, text, text, text, text, text, \
inet, text, text, timestamptz, text) IS 'Somebody''s login';
"
    );
}

#[test]
fn types_follow_the_schema() {
    let sql = wrapper(
        json!({
            "a": {"type": "string"}, "b": {"type": "string", "format": "date-time"},
            "c": {"type": "string", "format": "uuid"}, "d": {"type": "string", "format": "date"},
            "e": {"type": "integer"}, "f": {"type": "number"}, "g": {"type": "boolean"},
            "h": {"type": "object"}, "i": {}, "j": {"type": ["string", "null"]},
            "k": {"type": ["string", "integer"]}, "l": true, "m": false, "n": {"const": "x"},
            "o": {"type": "string", "format": "email"}, "p": {"$ref": "#"},
        }),
        &[],
    );
    let types: Vec<String> = own_arguments(&sql)
        .iter()
        .map(|line| line.trim_end_matches(" DEFAULT NULL").replace(' ', ":"))
        .collect();
    assert_eq!(
        types.join(" "),
        "a:text b:timestamptz c:uuid d:date e:bigint f:numeric g:boolean h:jsonb i:jsonb j:text \
         k:jsonb l:jsonb n:text o:text p:jsonb"
    );
}

#[test]
fn required_properties_come_first_even_if_they_are_not_declared() {
    let sql = wrapper(
        json!({"a": {"type": "string"}, "z": {"type": "string"}}),
        &["z", "q"],
    );
    assert_eq!(
        own_arguments(&sql),
        ["q jsonb", "z text", "a text DEFAULT NULL"]
    );
}

#[test]
fn names_that_clash_get_a_prefix() {
    let sql = wrapper(
        json!({"status": {}, "metadata_status": {}, "Name": {}, "name": {}, "": {}}),
        &[],
    );
    let names: Vec<&str> = own_arguments(&sql)
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "metadata_",
            "\"Name\"",
            "metadata_status",
            "metadata_name",
            "metadata_status_2"
        ]
    );
}

#[test]
fn long_names_are_cut_and_stay_apart() {
    let (one, two) = ("ä".repeat(40), "ä".repeat(41));
    let sql = wrapper(json!({ one.as_str(): {}, two.as_str(): {} }), &[]);
    let (_, names, _) = unquoted(&sql);
    assert!(names.iter().all(|name| name.len() <= 63));
    assert_ne!(names[0], names[1]);
    let action = format!("a.{}", "b".repeat(90));
    let sql = wrapper_sql(&action, None, &json!({})).unwrap();
    assert!(sql.starts_with(&format!("CREATE FUNCTION record_a_{}(\n", "b".repeat(54))));
}

#[test]
fn a_schema_without_properties_leaves_the_metadata_to_record() {
    for schema in [json!(true), json!({}), json!({"type": "object"})] {
        assert!(
            !wrapper_sql("a.b", None, &schema)
                .unwrap()
                .contains("metadata")
        );
    }
}

#[test]
fn what_the_server_cannot_hold_is_refused() {
    let many = |count| {
        let properties: Map<String, Value> = (0..count)
            .map(|index| (format!("p{index}"), json!({})))
            .collect();
        wrapper_sql("a.b", None, &json!({ "properties": properties })).map(drop)
    };
    assert_eq!(many(89), Ok(()));
    assert_eq!(many(90), Err(WrapperProblem::TooManyArguments));
    let nul = json!({"properties": {"a\0": {}}});
    assert_eq!(
        wrapper_sql("a.b", None, &nul),
        Err(WrapperProblem::NulCharacter)
    );
    assert_eq!(
        wrapper_sql("a.b", Some("\0"), &json!({})),
        Err(WrapperProblem::NulCharacter)
    );
    assert_eq!(
        wrapper_sql("a.b'; DROP TABLE x", None, &json!({})),
        Err(WrapperProblem::Action(NameProblem::BadCharacter))
    );
}

proptest! {
    #[test]
    fn hostile_names_stay_inside_their_quotes(
        names in prop::collection::btree_set("[a-c'\"\\\\$;()\n\r\té🦀 -]{0,70}", 1..6),
        required in any::<bool>(),
        description in "HOSTILE['\"\\\\$;\n]{0,9}",
    ) {
        let properties: Map<String, Value> =
            names.iter().map(|name| (format!("HOSTILE{name}"), json!({"type": "string"}))).collect();
        let keys: Vec<&String> = properties.keys().filter(|_| required).collect();
        let schema = json!({"properties": properties, "required": keys});
        let sql = wrapper_sql("a.b", Some(&description), &schema).unwrap();
        let (rest, _, constants) = unquoted(&sql);
        prop_assert!(!rest.contains("HOSTILE"));
        prop_assert_eq!(rest.matches(';').count(), 2);
        prop_assert_eq!(constants.last(), Some(&description));
        let (body, _, literals) = unquoted(&constants[1]);
        prop_assert!(!body.contains("HOSTILE") && !body.contains(';'));
        for name in properties.keys() {
            prop_assert!(literals.contains(name));
        }
    }
}
