//! Values are printed alike whoever writes or looks for them.

use crate::db;

/// Runs `work` with the settings that output functions read at fixed values, where it matters. What
/// is printed can then be read back, and the same value is always the same text.
pub(in crate::capture) fn printing<R>(it_matters: bool, work: impl FnOnce() -> R) -> R {
    if !it_matters {
        return work();
    }
    db::with_options(
        &[
            (c"datestyle", c"ISO"),
            (c"intervalstyle", c"postgres"),
            (c"timezone", c"UTC"),
            (c"extra_float_digits", c"1"),
            (c"bytea_output", c"hex"),
            (c"lc_monetary", c"C"),
            // Names of tables and functions are printed with their schema.
            (c"search_path", c"pg_catalog, pg_temp"),
        ],
        work,
    )
}
