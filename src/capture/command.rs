//! What an ALTER TABLE does to values without a difference in the catalog that could be seen
//! afterwards: it stands only in the words of the command.

#![allow(unsafe_code)]

use pgrx::{PgList, pg_sys};
use std::ffi::CStr;

/// The columns whose values a command works out anew, perhaps under the type they had.
///
/// # Safety
/// The tree is that of a command, or null.
pub(super) unsafe fn converted_columns(tree: *mut pg_sys::Node) -> Vec<String> {
    // SAFETY: promised by the caller; a node's tag says what it is, the parts of an ALTER TABLE
    // are of one kind, and their names end with a NUL.
    unsafe {
        if tree.is_null() || (*tree).type_ != pg_sys::NodeTag::T_AlterTableStmt {
            return Vec::new();
        }
        let commands = (*tree.cast::<pg_sys::AlterTableStmt>()).cmds;
        PgList::<pg_sys::AlterTableCmd>::from_pg(commands)
            .iter_ptr()
            .filter(|command| converts(&**command) && !(**command).name.is_null())
            .map(|command| {
                CStr::from_ptr((*command).name)
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    }
}

/// # Safety
/// The command is a part of an ALTER TABLE.
unsafe fn converts(command: &pg_sys::AlterTableCmd) -> bool {
    use pg_sys::AlterTableType as Type;
    match command.subtype {
        Type::AT_AlterColumnType => {
            let column = command.def.cast::<pg_sys::ColumnDef>();
            // SAFETY: what such a command defines is a column; USING is its raw default.
            !column.is_null() && unsafe { !(*column).raw_default.is_null() }
        }
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        Type::AT_SetExpression => true,
        _ => false,
    }
}
