//! What there is in the schema `activity`, in a form that two databases can be compared by.

use crate::database::{Database, Session};
use std::collections::BTreeMap;

/// One line for each object and each right, without anything that differs between clusters.
const OBJECTS: &str = "
    WITH relation AS (
        SELECT c.*, c.oid::regclass::text AS name FROM pg_class c
        WHERE c.relnamespace = 'activity'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    )
    SELECT format('schema, right: %s', a) FROM pg_namespace n, unnest(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
    WHERE n.nspname = 'activity'
    UNION ALL
    SELECT format('relation %s: %s, row security %s %s, owner %s, %s, %s', name, relkind,
                  relrowsecurity, relforcerowsecurity, relowner::regrole,
                  pg_get_expr(relpartbound, oid), obj_description(oid, 'pg_class'))
    FROM relation
    UNION ALL
    SELECT format('right on %s: %s', name, a) FROM relation,
         unnest(coalesce(relacl, acldefault('r', relowner))) a
    UNION ALL
    SELECT format('column %s.%s: %s, %s %s %s', r.name, a.attname,
                  format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attcollation::regcollation,
                  pg_get_expr(d.adbin, d.adrelid))
    FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT format('constraint %s on %s: %s', k.conname, r.name, pg_get_constraintdef(k.oid))
    FROM relation r JOIN pg_constraint k ON k.conrelid = r.oid
    UNION ALL
    SELECT format('index: %s, valid %s', pg_get_indexdef(i.indexrelid), i.indisvalid)
    FROM relation r JOIN pg_index i ON i.indrelid = r.oid
    UNION ALL
    SELECT format('trigger: %s, %s', pg_get_triggerdef(t.oid), t.tgenabled)
    FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
    UNION ALL
    SELECT format('policy %s on %s: %s %s %s %s', p.policyname, p.tablename, p.permissive, p.cmd,
                  p.roles, p.qual)
    FROM pg_policies p WHERE p.schemaname = 'activity'
    UNION ALL
    SELECT format('function %s: security definer %s, %s', p.oid::regprocedure, p.prosecdef, p.proconfig)
    FROM pg_proc p WHERE p.pronamespace = 'activity'::regnamespace
    UNION ALL
    SELECT format('right on %s: %s', p.oid::regprocedure, a)
    FROM pg_proc p, unnest(coalesce(p.proacl, acldefault('f', p.proowner))) a
    WHERE p.pronamespace = 'activity'::regnamespace
    ORDER BY 1";

impl Database<'_> {
    /// Every object of the schema `activity` with its definition and rights, one a line.
    #[must_use]
    pub fn objects(&self) -> Vec<String> {
        self.in_utc().texts(OBJECTS)
    }

    /// The rows of every table of the schema `activity`, as sorted text. Those of a partition
    /// count as its parent's.
    #[must_use]
    pub fn rows(&self) -> BTreeMap<String, Vec<String>> {
        let mut session = self.in_utc();
        let tables = session.texts(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'activity'::regnamespace \
             AND relkind IN ('r', 'p') AND NOT relispartition",
        );
        tables
            .into_iter()
            .map(|table| {
                let rows = session.texts(&format!(
                    "SELECT t::text FROM activity.{table} t ORDER BY 1"
                ));
                (table, rows)
            })
            .collect()
    }

    fn in_utc(&self) -> Session {
        let mut session = self.superuser();
        session.batch_execute("SET timezone = 'UTC'").unwrap();
        session
    }
}

/// Fails with the lines that only one of two lists has.
///
/// # Panics
/// If they differ.
#[track_caller]
pub fn assert_same(before: &[String], after: &[String]) {
    let missing: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert!(
        missing.is_empty() && new.is_empty(),
        "missing: {missing:#?}\nnew: {new:#?}"
    );
    assert_eq!(before.len(), after.len());
}
