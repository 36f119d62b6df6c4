//! What an ALTER TABLE does to rows without firing a trigger for them, and without a difference in
//! the catalog that could be seen afterwards: it stands only in the words of the command.

#![allow(unsafe_code)]

use pgrx::{PgList, pg_sys};
use std::ffi::{CStr, c_char};

/// Which way a partition has gone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Attached,
    Detached,
}

impl Way {
    /// The member of an event's metadata that names the partition.
    pub(super) fn member(self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Detached => "detached",
        }
    }
}

/// What a command has done to rows.
#[derive(Default)]
pub(super) struct Effects {
    /// Columns whose values were worked out anew.
    pub(super) converted: Vec<String>,
    /// The partition that has come or gone.
    pub(super) moved: Option<(Way, pg_sys::Oid)>,
}

impl Effects {
    /// Reads a command; one that is no ALTER TABLE has no such effects.
    ///
    /// # Safety
    /// The tree is that of a command which has been carried out, or null. Names are looked up with
    /// the search path of the session, as the command's were.
    pub(super) unsafe fn of(tree: *mut pg_sys::Node) -> Self {
        let mut effects = Self::default();
        // SAFETY: promised by the caller; a node's tag says what it is.
        unsafe {
            if tree.is_null() || (*tree).type_ != pg_sys::NodeTag::T_AlterTableStmt {
                return effects;
            }
            let commands = (*tree.cast::<pg_sys::AlterTableStmt>()).cmds;
            for command in PgList::<pg_sys::AlterTableCmd>::from_pg(commands).iter_ptr() {
                effects.add(&*command);
            }
        }
        effects
    }

    /// # Safety
    /// The command is part of a tree.
    unsafe fn add(&mut self, command: &pg_sys::AlterTableCmd) {
        use pg_sys::AlterTableType as Type;
        // SAFETY: what a command defines is of the kind that belongs to it.
        unsafe {
            match command.subtype {
                Type::AT_AlterColumnType => {
                    let column = command.def.cast::<pg_sys::ColumnDef>();
                    if !column.is_null() && !(*column).raw_default.is_null() {
                        self.converted.extend(text(command.name));
                    }
                }
                #[cfg(any(feature = "pg17", feature = "pg18"))]
                Type::AT_SetExpression => self.converted.extend(text(command.name)),
                Type::AT_AttachPartition => self.note(Way::Attached, command.def),
                Type::AT_DetachPartition => self.note(Way::Detached, command.def),
                _ => {}
            }
        }
    }

    /// # Safety
    /// The definition is that of a command about a partition.
    unsafe fn note(&mut self, way: Way, definition: *mut pg_sys::Node) {
        // SAFETY: promised by the caller; no lock is taken and a missing name is no error.
        let partition = unsafe {
            pg_sys::RangeVarGetRelidExtended(
                (*definition.cast::<pg_sys::PartitionCmd>()).name,
                pg_sys::NoLock as i32,
                pg_sys::RVROption::RVR_MISSING_OK,
                None,
                std::ptr::null_mut(),
            )
        };
        self.moved = (partition != pg_sys::InvalidOid).then_some((way, partition));
    }
}

/// # Safety
/// The text is NUL-terminated, or null.
unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: promised by the caller.
    (!text.is_null()).then(|| {
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned()
    })
}
